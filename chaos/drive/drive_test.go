package drive

import (
	"context"
	"errors"
	"flag"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"supercluster/chaos/history"
	"supercluster/chaos/report"
	"supercluster/chaos/schedule"
	"supercluster/internal/bubble"
)

// ran runs one seed over a toy in virtual time and gives its report and its history.
func ran(t *testing.T, change func(*toy)) (w *toy, r *report.Report, lines []history.Line, dir string) {
	t.Helper()
	dir = t.TempDir()
	bubble.Test(t, func(t *testing.T) { w, r = seed(t, dir, change) })
	lines, err := history.Read(filepath.Join(dir, "history.jsonl"))
	if err != nil {
		t.Fatal(err)
	}
	return w, r, lines, dir
}

func seed(t *testing.T, dir string, change func(*toy)) (*toy, *report.Report) {
	var made []*toy
	tier := toyTier(&made, change)
	p := schedule.Expand(1, tier.Options)
	r, err := tier.Run(context.Background(), &p, dir)
	if err != nil {
		t.Fatal(err)
	}
	return made[0], r
}

func text(r *report.Report) string {
	var b strings.Builder
	_ = r.WriteText(&b)
	return b.String()
}

// A right world passes: every kind of call, watches, digests, the marks in their order and a state of each region are there.
func TestRun(t *testing.T) {
	w, r, lines, _ := ran(t, nil)
	if !r.Passed() || !w.closed || w.kept != "" {
		t.Fatalf("closed %v, kept %q\n%s", w.closed, w.kept, text(r))
	}
	var kinds, marks []string
	for _, c := range r.Operations {
		kinds = append(kinds, c.Kind)
	}
	shapes, states := map[int]bool{}, 0
	for i := range lines {
		switch l := &lines[i]; {
		case l.Type == history.Marked:
			marks = append(marks, l.Text)
		case l.Type == history.Stated:
			states++
		case l.Call != nil && l.Call.Kind == history.CallLookup:
			shapes[len(l.Call.Steps)] = true
		}
	}
	want := []string{history.CallCAS, history.CallConfig, history.CallDelete, history.CallGet, history.CallLookup, history.CallPut, history.CallService, history.CallTxn}
	if !slices.Equal(kinds, want) {
		t.Errorf("clients asked for %v", kinds)
	}
	if !slices.Equal(marks, []string{history.MarkFaults, history.MarkHeal, history.MarkQuiet}) || states != 3 || len(shapes) != 2 {
		t.Errorf("marks %v, %d states, lookups of so many keys: %v", marks, states, shapes)
	}
}

// What is wrong with a world is found, or the run is void, and what it has to show is kept.
func TestRun_NotPassed(t *testing.T) {
	for _, c := range []struct {
		name   string
		change func(*toy)
		says   string
		fails  bool
	}{
		{"writes are lost", func(w *toy) { w.loses = 20 }, "violations", true},
		{"nothing is seen", func(w *toy) {
			w.strike = func(*toy, context.Context, *schedule.Nemesis) (bool, string) { return false, "nobody felt it" }
		}, "nobody felt it", false},
		{"nothing comes back", func(w *toy) { w.stuck = "n1 is gone" }, "n1 is gone", true},
		{"too slow", func(w *toy) { w.takes = 300 * time.Millisecond }, "fewer than 100", false},
		{"a nemesis takes too long", func(w *toy) {
			w.strike = func(_ *toy, ctx context.Context, _ *schedule.Nemesis) (bool, string) {
				<-ctx.Done()
				return true, "long"
			}
		}, "it never ended", false},
	} {
		t.Run(c.name, func(t *testing.T) {
			w, r, _, dir := ran(t, c.change)
			if r.Passed() || (r.Violations > 0) != c.fails || !strings.Contains(text(r), c.says) {
				t.Error(text(r))
			}
			if w.kept != dir || !w.closed {
				t.Errorf("kept in %q, closed %v", w.kept, w.closed)
			}
		})
	}
}

// A write that nobody heard of is asked for again under its request id, and is one operation with one end. Only who is about to ask
// again when the clients end never knows.
func TestRun_AsksAgain(t *testing.T) {
	w, r, lines, _ := ran(t, func(w *toy) { w.mumbles = 7 })
	if !r.Passed() {
		t.Fatal(text(r))
	}
	again := int64(w.run.tier.Pace.AskAgain)
	quiet, _ := history.MarkedAt(lines, history.MarkQuiet)
	ops, err := history.Operations(lines)
	if err != nil {
		t.Fatal(err)
	}
	known := 0
	for i := range ops {
		switch op := &ops[i]; {
		case op.Outcome == history.OK && op.Ended-op.Invoked == again:
			known++
		case op.Outcome == history.OK && op.Ended == op.Invoked:
		case op.Outcome == history.Unknown && quiet-op.Invoked <= again:
		default:
			t.Errorf("operation %d of client %d began at %d, %d before the end, and ended %q at %d", op.ID, op.Client, op.Invoked, quiet-op.Invoked, op.Outcome, op.Ended)
		}
	}
	if known == 0 {
		t.Error("nobody asked again")
	}
}

// While a region is held no client of it asks; while its watches are slow they are behind. In real time: who waits for a
// region that is held waits for a lock, and virtual time stands still then.
func TestRun_HoldAndSlow(t *testing.T) {
	asked, behind, calm := 0, uint64(0), uint64(0)
	_, r := seed(t, t.TempDir(), func(w *toy) {
		w.strike = func(w *toy, ctx context.Context, n *schedule.Nemesis) (bool, string) {
			s := w.run.Site(n.Targets[0])
			if behind == 0 {
				behind = s.Slow(ctx, n, func() time.Duration { return 50 * time.Millisecond })
				return true, "slow"
			}
			for _, name := range []string{"dc1", "dc2", "dc3"} {
				w.run.Site(name).Hold()
				defer w.run.Site(name).Release()
			}
			before := w.calls()
			Pause(ctx, n.Duration.Duration())
			asked = w.calls() - before
			now, _ := s.Now(ctx)
			if err := s.Shown(ctx, now.Data); err == nil {
				calm = now.Data - s.Seen()
			}
			return true, "held"
		}
	})
	if !r.Passed() || behind == 0 || asked != 0 || calm != 0 {
		t.Errorf("%d calls while held, %d behind while slow, %d after it\n%s", asked, behind, calm, text(r))
	}
}

// program runs the command of a toy tier with some flags and gives what it prints.
func program(t *testing.T, change func(*toy), args ...string) (string, error) {
	t.Helper()
	var made []*toy
	var out strings.Builder
	var err error
	bubble.Test(t, func(t *testing.T) {
		c := command{tier: toyTier(&made, change), print: &out}
		f := flag.NewFlagSet("toy", flag.ContinueOnError)
		c.flags(f)
		if err = f.Parse(args); err == nil {
			err = c.run(context.Background())
		}
	})
	return out.String(), err
}

// Seeds run one after the other, each tells a line; a saved plan runs again; what is not passed makes an error.
func TestCommand(t *testing.T) {
	dir := t.TempDir()
	out, err := program(t, nil, "--from", "5", "--out", dir)
	if err != nil || strings.Count(out, "ok   seed ") != 2 || !strings.Contains(out, "ok   seed 6: ") || !strings.Contains(out, "chaos toy: 2 seeds, 2 passed, 0 not; ") {
		t.Fatalf("%v\n%s", err, out)
	}
	for _, name := range []string{"plan.json", "history.jsonl", "report.json"} {
		if _, err := os.Stat(filepath.Join(dir, "seed-5", name)); err != nil {
			t.Error(err)
		}
	}
	out, err = program(t, nil, "--plan", filepath.Join(dir, "seed-6", "plan.json"), "--out", t.TempDir(), "-v")
	if err != nil || !strings.Contains(out, "ok   seed 6: ") || !strings.Contains(out, "linearizable dc1") {
		t.Errorf("%v\n%s", err, out)
	}
	out, err = program(t, nil, "--focus", "shove", "--seeds", "1", "--out", t.TempDir())
	if err != nil || !strings.Contains(out, "2 faults (2 shove)") {
		t.Errorf("%v\n%s", err, out)
	}
	out, err = program(t, func(w *toy) { w.fails = errors.New("no room") }, "--out", t.TempDir())
	if err == nil || strings.Count(out, "VOID seed ") != 2 || !strings.Contains(out, "the regions did not start: no room") {
		t.Errorf("%v\n%s", err, out)
	}
}

// The folder of runs that all passed is removed when nobody asked for it, and kept when one did not pass.
func TestCommand_KeepsWhatDidNotPass(t *testing.T) {
	for _, loses := range []int{0, 20} {
		dir := t.TempDir()
		t.Setenv("TMPDIR", dir)
		_, err := program(t, func(w *toy) { w.loses = loses }, "--seeds", "1")
		left, _ := filepath.Glob(filepath.Join(dir, "chaos-toy-*", "seed-1", "report.json"))
		if (err != nil) != (loses > 0) || len(left) != min(loses, 1) {
			t.Errorf("loses %d: %v, %v", loses, err, left)
		}
	}
}

// Plans of another tier, or with what this one does not have, are refused; so is a focus that does not exist.
func TestRunnable(t *testing.T) {
	tier := toyTier(new([]*toy), nil)
	tier.Fixed = true
	for name, change := range map[string]func(*schedule.Plan){
		"":        func(p *schedule.Plan) { p.Nemeses[0].Kind = "shove" }, // of a focus
		"tier":    func(p *schedule.Plan) { p.Tier = "inproc" },
		"kind":    func(p *schedule.Plan) { p.Nemeses[0].Kind = "flood" },
		"target":  func(p *schedule.Plan) { p.Nemeses[0].Targets = nil },
		"regions": func(p *schedule.Plan) { p.Regions = p.Regions[:2] },
	} {
		p := schedule.Expand(1, tier.Options)
		change(&p)
		if err := tier.Runnable(&p); (err == nil) != (name == "") {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := program(t, nil, "--seeds", "0"); err == nil || !strings.Contains(err.Error(), "1 or more") {
		t.Errorf("no seed at all: %v", err)
	}
	if _, err := tier.Plans("flood", 1, 1); err == nil || !strings.Contains(err.Error(), "shove") {
		t.Errorf("an unknown focus: %v", err)
	}
}

// The keys of clients have a maker; others have none.
func TestMaker(t *testing.T) {
	r := &Run{Plan: &schedule.Plan{Regions: Regions()}}
	for key, want := range map[string]string{
		keyIn(groupOf("dc2", 3), 1): "dc2", levelOf("dc1"): "dc1", instanceIn(instancesOf("dc3"), 0): "dc3",
		ConfigKey + "dc1/copy/1": "", ServiceKey + "other/i1": "", "": "",
	} {
		if got := r.Maker(key); got != want {
			t.Errorf("%q is made by %q, want %q", key, got, want)
		}
	}
}
