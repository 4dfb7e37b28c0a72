package cli

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/timestamppb"
	"sigs.k8s.io/yaml"

	pb "supercluster/api/gen/supercluster/v1"
	"supercluster/internal/fault"
)

// The forms of output.
const (
	outputTable = "table"
	outputJSON  = "json"
	outputYAML  = "yaml"
)

func checkOutput(form string) error {
	if form == outputTable || form == outputJSON || form == outputYAML {
		return nil
	}
	return fault.Field("--output", "%q is not one of table, json, yaml", form)
}

// say prints a line for people; scripts that asked for another form do not get it.
func (a *App) say(format string, args ...any) {
	if a.flags.output == outputTable {
		fmt.Fprintf(a.Out, format+"\n", args...)
	}
}

// print shows a message in the form asked for; in a table as show has it.
func (a *App) print(m proto.Message, show func(*table)) error {
	if a.flags.output == outputTable {
		var t table
		show(&t)
		return t.write(a.Out, a.terminal)
	}
	data, err := apiJSON(m)
	if err != nil {
		return err
	}
	return a.printJSON(data)
}

// printList shows messages as one list.
func printList[M proto.Message](a *App, items []M, show func(*table)) error {
	if a.flags.output == outputTable {
		return a.print(nil, show)
	}
	all := []byte("[")
	for i, m := range items {
		data, err := apiJSON(m)
		if err != nil {
			return err
		}
		if i > 0 {
			all = append(all, ',')
		}
		all = append(all, data...)
	}
	return a.printJSON(append(all, ']'))
}

// printPlain shows a value that is no message of the API.
func (a *App) printPlain(v any, t *table) error {
	if err := checkOutput(a.flags.output); err != nil {
		return err
	}
	if a.flags.output == outputTable {
		return t.write(a.Out, a.terminal)
	}
	data, err := json.Marshal(v)
	if err != nil {
		return fault.Wrap(fault.Internal, err, "the answer cannot be printed")
	}
	return a.printJSON(data)
}

// apiJSON is a message in the form of the HTTP API.
func apiJSON(m proto.Message) ([]byte, error) {
	data, err := protojson.MarshalOptions{UseProtoNames: true, EmitDefaultValues: true}.Marshal(m)
	if err != nil {
		return nil, fault.Wrap(fault.Internal, err, "the answer cannot be printed")
	}
	return data, nil
}

func (a *App) printJSON(data []byte) error {
	if a.flags.output == outputYAML {
		text, err := yaml.JSONToYAML(data)
		if err != nil {
			return fault.Wrap(fault.Internal, err, "the answer cannot be printed as YAML")
		}
		_, err = a.Out.Write(text)
		return writeError(err)
	}
	var out bytes.Buffer
	if err := json.Indent(&out, data, "", "  "); err != nil {
		return fault.Wrap(fault.Internal, err, "the answer cannot be printed")
	}
	out.WriteByte('\n')
	_, err := a.Out.Write(out.Bytes())
	return writeError(err)
}

// printLine shows a message as one line of JSON, for streams; YAML documents are separated by ---.
func (a *App) printLine(m proto.Message) error {
	data, err := apiJSON(m)
	if err != nil {
		return err
	}
	if a.flags.output == outputYAML {
		if _, err := io.WriteString(a.Out, "---\n"); err != nil {
			return writeError(err)
		}
		return a.printJSON(data)
	}
	var out bytes.Buffer
	if err := json.Compact(&out, data); err != nil {
		return fault.Wrap(fault.Internal, err, "the answer cannot be printed")
	}
	out.WriteByte('\n')
	_, err = a.Out.Write(out.Bytes())
	return writeError(err)
}

func writeError(err error) error {
	if err == nil {
		return nil
	}
	return fault.Wrap(fault.Canceled, err, "the output was closed")
}

// table is rows of text in columns.
type table struct {
	header []string
	rows   [][]string
	// notes stand below.
	notes []string
}

func (t *table) add(cells ...string) { t.rows = append(t.rows, cells) }

func (t *table) note(format string, args ...any) {
	t.notes = append(t.notes, fmt.Sprintf(format, args...))
}

func (t *table) write(w io.Writer, color bool) error {
	rows := t.rows
	if len(t.header) > 0 {
		rows = append([][]string{t.header}, rows...)
	}
	var widths []int
	for _, row := range rows {
		for i, cell := range row {
			if i == len(widths) {
				widths = append(widths, 0)
			}
			widths[i] = max(widths[i], utf8.RuneCountInString(cell))
		}
	}
	var b strings.Builder
	for _, row := range rows {
		var line strings.Builder
		for i, cell := range row {
			line.WriteString(paint(cell, color))
			if i < len(row)-1 {
				line.WriteString(strings.Repeat(" ", widths[i]-utf8.RuneCountInString(cell)+2))
			}
		}
		b.WriteString(strings.TrimRight(line.String(), " "))
		b.WriteByte('\n')
	}
	for _, n := range t.notes {
		b.WriteString(n)
		b.WriteByte('\n')
	}
	_, err := io.WriteString(w, b.String())
	return writeError(err)
}

// paint colours the words that say how something is.
func paint(cell string, color bool) string {
	if !color {
		return cell
	}
	switch cell {
	case "passing", "alive", "ACK", "up", "equal":
		return "\x1b[32m" + cell + "\x1b[0m"
	case "warning", "draining", "pending", "connecting", "suspect":
		return "\x1b[33m" + cell + "\x1b[0m"
	case "critical", "dead", "NACK", "stalled", "refused", "differs", "away":
		return "\x1b[31m" + cell + "\x1b[0m"
	}
	return cell
}

func healthText(h pb.Health) string {
	return strings.ToLower(strings.TrimPrefix(h.String(), "HEALTH_"))
}

func protocolText(p pb.Protocol) string {
	if p == pb.Protocol_PROTOCOL_UNSPECIFIED {
		return "http"
	}
	return strings.ToLower(strings.TrimPrefix(p.String(), "PROTOCOL_"))
}

func formatText(f pb.Format) string {
	if f == pb.Format_FORMAT_UNSPECIFIED {
		return "text"
	}
	return strings.ToLower(strings.TrimPrefix(f.String(), "FORMAT_"))
}

func ageText(d *durationpb.Duration) string {
	if d == nil {
		return "-"
	}
	return roundDuration(d.AsDuration())
}

// roundDuration shows as much of a duration as people read.
func roundDuration(d time.Duration) string {
	switch {
	case d >= time.Minute:
		return d.Round(time.Second).String()
	case d >= time.Second:
		return d.Round(100 * time.Millisecond).String()
	default:
		return d.Round(100 * time.Microsecond).String()
	}
}

func timeText(t *timestamppb.Timestamp) string {
	if t == nil || t.AsTime().Unix() == 0 {
		return "-"
	}
	return t.AsTime().UTC().Format(time.RFC3339)
}

func mapText(m map[string]string) string {
	pairs := make([]string, 0, len(m))
	for k, v := range m {
		pairs = append(pairs, k+"="+v)
	}
	slices.Sort(pairs)
	return strings.Join(pairs, ",")
}

// orDash shows that a cell is empty on purpose.
func orDash(s string) string {
	if s == "" {
		return "-"
	}
	return s
}

func utoa[N uint32 | uint64](n N) string { return fmt.Sprint(n) }

func kindText(k pb.Kind) string {
	return strings.ReplaceAll(strings.ToLower(strings.TrimPrefix(k.String(), "KIND_")), "_", "-")
}

// homeRevision is the revision at which a record changed last in the region that owns it.
func homeRevision(r interface {
	GetMeta() *pb.Meta
	GetSource() *pb.Source
},
) uint64 {
	if r.GetSource().GetRevision() != 0 {
		return r.GetSource().GetRevision()
	}
	return r.GetMeta().GetModifyRevision()
}

// writtenAt shows the revision of a write, with the region if that is another one than was asked.
func writtenAt(h *pb.WriteHeader) string {
	if h.GetForwarded() {
		return utoa(h.GetRevision()) + " of region " + h.GetRegion()
	}
	return utoa(h.GetRevision())
}
