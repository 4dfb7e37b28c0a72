package measure

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"text/tabwriter"
)

// Row is one figure beside that of a peer and a floor. A zero peer or floor was not measured.
type Row struct {
	Name      string  `json:"name"`
	Unit      string  `json:"unit"`
	Ours      float64 `json:"ours"`
	Peer      float64 `json:"peer"`
	PeerName  string  `json:"peer_name"`
	Floor     float64 `json:"floor"`
	FloorName string  `json:"floor_name"`
	// Count says that the figures are counts: a zero was counted.
	Count bool `json:"-"`
	// Ratio above 1 means that ours is that many times better.
	Ratio float64 `json:"ratio"`
	// Bound is what was promised: ours should not be above it. Zero: nothing was. It is printed, not asserted.
	Bound float64 `json:"bound,omitempty"`
}

// NewRow makes a row; the unit decides which direction is better ("/s" up, everything else down).
func NewRow(name, unit string, ours, peer float64, peerName string, floor float64, floorName string) Row {
	r := Row{Name: name, Unit: unit, Ours: ours, Peer: peer, PeerName: peerName, Floor: floor, FloorName: floorName}
	switch {
	case ours <= 0 || peer <= 0:
	case strings.HasSuffix(unit, "/s"):
		r.Ratio = ours / peer
	default:
		r.Ratio = peer / ours
	}
	return r
}

// Print writes the table.
func Print(w io.Writer, title string, rows []Row) {
	fmt.Fprintf(w, "\n%s\n", title)
	tw := tabwriter.NewWriter(w, 0, 0, 2, ' ', tabwriter.AlignRight)
	bounded := slices.ContainsFunc(rows, func(r Row) bool { return r.Bound != 0 })
	bound := func(text string) string {
		if !bounded {
			return ""
		}
		return text + "\t"
	}
	fmt.Fprintln(tw, "what\tunit\tours\t"+bound("bound")+"peer\t\tratio\tfloor\t\t")
	for _, r := range rows {
		fmt.Fprintf(tw, "%s\t%s\t%s\t%s%s\t%s\t%s\t%s\t%s\t\n", r.Name, r.Unit, r.counted(r.Ours), bound(r.kept()), r.peer(), r.PeerName, ratio(r.Ratio), figure(r.Floor), r.FloorName)
	}
	tw.Flush()
}

// kept says whether ours is within its bound.
func (r Row) kept() string {
	switch {
	case r.Bound == 0:
		return "-"
	case r.Ours <= r.Bound:
		return figure(r.Bound) + " kept"
	default:
		return figure(r.Bound) + " MISSED"
	}
}

func (r Row) counted(f float64) string {
	if r.Count {
		return fmt.Sprintf("%.0f", f)
	}
	return figure(f)
}

func (r Row) peer() string {
	if r.PeerName == "" {
		return figure(0)
	}
	return r.counted(r.Peer)
}

func figure(f float64) string {
	switch {
	case f == 0:
		return "-"
	case f >= 1000:
		return fmt.Sprintf("%.0f", f)
	case f >= 10:
		return fmt.Sprintf("%.1f", f)
	default:
		return fmt.Sprintf("%.3f", f)
	}
}

func ratio(f float64) string {
	if f == 0 {
		return "-"
	}
	return fmt.Sprintf("%.2fx", f)
}

// Write stores the rows as <dir>/<name>.json.
func Write(dir, name string, rows []Row) error {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	b, err := json.MarshalIndent(rows, "", "  ")
	if err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(dir, name+".json"), append(b, '\n'), 0o644)
}
