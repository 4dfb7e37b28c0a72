package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"supercluster/cmd/supercluster/cli"
	"supercluster/internal/config"
	"supercluster/internal/fault"
)

// Dev controls on the admin listener: POST /dev/cut?a=dc1&b=dc2, /dev/heal (one pair or all), /dev/kill-region?a=dc2,
// /dev/start-region?a=dc2; GET /dev/regions.

// kindHeader carries the kind of a control's error, so that the command exits as any other does.
const kindHeader = "Supercluster-Error-Kind"

// devControl is one control.
type devControl struct {
	name, use, short, example string
	args                      cobra.PositionalArgs
	do                        func(d *devRegions, ctx context.Context, a, b string) error
}

func devControls() []devControl {
	return []devControl{
		{
			"cut", "cut REGION REGION", "Cut two regions of `dev --regions` from each other", "  supercluster dev cut dc1 dc2", cli.Args(2, 2),
			func(d *devRegions, _ context.Context, a, b string) error { return d.setCut(a, b, true) },
		},
		{
			"heal", "heal [REGION REGION]", "Heal one cut, or all", "  supercluster dev heal\n  supercluster dev heal dc1 dc2", twoOrNone,
			func(d *devRegions, _ context.Context, a, b string) error { return d.setCut(a, b, false) },
		},
		{
			"kill-region", "kill-region REGION", "Stop a region at once; its data stays", "  supercluster dev kill-region dc2", cli.Args(1, 1),
			func(d *devRegions, _ context.Context, a, _ string) error { return d.kill(a) },
		},
		{
			"start-region", "start-region REGION", "Start a region that was killed, on its data", "  supercluster dev start-region dc2", cli.Args(1, 1),
			func(d *devRegions, ctx context.Context, a, _ string) error { return d.restart(ctx, a) },
		},
	}
}

func twoOrNone(_ *cobra.Command, args []string) error {
	if len(args) == 0 || len(args) == 2 {
		return nil
	}
	return fault.New(fault.Invalid, "heal takes two regions, or none for all cuts").WithHint("supercluster dev heal dc1 dc2")
}

// find gives a region by name.
func (d *devRegions) find(name string) (*devRegion, error) {
	var names []string
	for _, r := range d.all {
		if r.config.Region == name {
			return r, nil
		}
		names = append(names, r.config.Region)
	}
	return nil, fault.New(fault.NotFound, "there is no region %q; there are %s", name, strings.Join(names, ", "))
}

// setCut cuts or heals a pair; healing without names heals all.
func (d *devRegions) setCut(a, b string, cut bool) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if a == "" && b == "" && !cut {
		clear(d.cut)
		return nil
	}
	x, err := d.find(a)
	if err != nil {
		return err
	}
	y, err := d.find(b)
	if err != nil {
		return err
	}
	if x == y {
		return fault.New(fault.Invalid, "a region cannot be cut from itself, or healed with itself").WithHint("name two different regions")
	}
	if cut {
		d.cut[pair(x.number, y.number)] = true
	} else {
		delete(d.cut, pair(x.number, y.number))
	}
	return nil
}

// kill stops a region. Nobody hears of it: it is cut off first.
func (d *devRegions) kill(name string) error {
	r, err := d.find(name)
	if err != nil {
		return err
	}
	if r.running() == nil {
		return fault.New(fault.Conflict, "region %s does not run", name).WithHint("supercluster dev start-region %s", name)
	}
	d.mu.Lock()
	var undo [][2]int
	for _, other := range d.all {
		if p := pair(r.number, other.number); other != r && !d.cut[p] {
			d.cut[p] = true
			undo = append(undo, p)
		}
	}
	d.mu.Unlock()
	r.end()
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, p := range undo {
		delete(d.cut, p)
	}
	return nil
}

func (d *devRegions) restart(ctx context.Context, name string) error {
	r, err := d.find(name)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	return d.start(ctx, context.WithoutCancel(ctx), r, nil)
}

// devState is what GET /dev/regions answers.
type devState struct {
	Regions []devRegionState `json:"regions"`
	Cuts    [][2]string      `json:"cuts"`
	Delay   string           `json:"delay"`
}

type devRegionState struct {
	Region  string `json:"region"`
	Running bool   `json:"running"`
	GRPC    string `json:"grpc"`
	HTTP    string `json:"http"`
	DNS     string `json:"dns"`
}

func (d *devRegions) state() devState {
	d.mu.Lock()
	defer d.mu.Unlock()
	s := devState{Delay: d.delay.String(), Cuts: [][2]string{}}
	for _, r := range d.all {
		l := r.config.Listen
		s.Regions = append(s.Regions, devRegionState{r.config.Region, r.running() != nil, l.GRPC, l.HTTP, l.DNS})
		for _, other := range d.all[r.number+1:] {
			if d.cut[pair(r.number, other.number)] {
				s.Cuts = append(s.Cuts, [2]string{r.config.Region, other.config.Region})
			}
		}
	}
	return s
}

// handle adds the controls to the admin listener. A page in a browser must not cut regions: what it may send without
// asking has an Origin.
func (d *devRegions) handle(mux *http.ServeMux) {
	mux.HandleFunc("GET /dev/regions", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		_ = json.NewEncoder(w).Encode(d.state())
	})
	for _, c := range devControls() {
		mux.HandleFunc("POST /dev/"+c.name, func(w http.ResponseWriter, r *http.Request) {
			if r.Header.Get("Origin") != "" {
				http.Error(w, "pages of browsers are not served", http.StatusForbidden)
				return
			}
			if err := c.do(d, r.Context(), r.URL.Query().Get("a"), r.URL.Query().Get("b")); err != nil {
				w.Header().Set(kindHeader, fault.KindOf(err).String())
				http.Error(w, err.Error(), http.StatusConflict)
				return
			}
			w.WriteHeader(http.StatusNoContent)
		})
	}
}

// controlCommands are the verbs of the controls.
func controlCommands() []*cobra.Command {
	var all []*cobra.Command
	for _, c := range devControls() {
		cmd := &cobra.Command{Use: c.use, Short: c.short, Example: c.example, Args: c.args}
		admin := cmd.Flags().String("admin", config.Default().Listen.Admin, "admin listener of the `supercluster dev` that runs")
		cmd.RunE = func(cmd *cobra.Command, args []string) error {
			q := url.Values{}
			for i, name := range args {
				q.Set(string(rune('a'+i)), name)
			}
			if err := control(cmd.Context(), *admin, c.name, q); err != nil {
				return err
			}
			fmt.Fprintln(cmd.OutOrStdout(), strings.TrimSpace(c.name+" "+strings.Join(args, " ")))
			return nil
		}
		all = append(all, noClientFlags(cmd))
	}
	return all
}

func control(ctx context.Context, admin, name string, q url.Values) error {
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://"+admin+"/dev/"+name+"?"+q.Encode(), nil)
	if err != nil {
		return fault.Wrap(fault.Invalid, err, "--admin %s is no address", admin)
	}
	answer, err := (&http.Client{Timeout: time.Minute}).Do(r)
	if err != nil {
		return fault.Wrap(fault.Unavailable, err, "cannot reach %s", admin).WithHint("`supercluster dev --regions 3` runs regions to act on")
	}
	defer answer.Body.Close()
	text, _ := io.ReadAll(io.LimitReader(answer.Body, 4<<10)) // it is for people
	switch {
	case answer.StatusCode == http.StatusNotFound:
		return fault.New(fault.Unsupported, "the dev server at %s runs one region", admin).WithHint("start it with --regions 3")
	case answer.StatusCode >= 300:
		kind, _ := fault.KindNamed(answer.Header.Get(kindHeader))
		return fault.New(kind, "%s", strings.TrimSpace(string(text)))
	}
	return nil
}
