package report

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"supercluster/chaos/check"
	"supercluster/chaos/history"
	"supercluster/chaos/schedule"
)

// run is a history of a second with some writes, watched, and one fault.
func run(writes int, effect bool) (*schedule.Plan, []history.Line) {
	p := &schedule.Plan{Tier: "test", Seed: 3, Nemeses: []schedule.Nemesis{{Kind: "kill", Targets: []string{"dc1/n1"}, Duration: 100}}}
	var lines []history.Line
	add := func(l history.Line) {
		l.At, l.Region = int64(len(lines)), "dc1"
		lines = append(lines, l)
	}
	add(history.Line{Type: history.Watched, Watch: &history.Watch{Name: "w", Event: history.WatchOpen}})
	state := history.State{Revision: uint64(writes)}
	for n := range writes {
		key, revision := "k"+string(rune('a'+n%26))+string(rune('a'+n/26)), uint64(n+1)
		add(history.Line{Type: history.Invoke, ID: revision, Call: &history.Call{Kind: history.CallPut, Steps: []history.Step{{Do: history.DoPut, Key: key, Value: "v"}}}})
		add(history.Line{Type: history.OK, ID: revision, Answer: &history.Answer{Revision: revision}})
		add(history.Line{Type: history.Watched, Watch: &history.Watch{
			Name: "w", Event: history.WatchEvent, Revision: revision, Changes: []history.Change{{Key: key, Value: "v"}},
		}})
		state.Entries = append(state.Entries, history.Entry{Key: key, Value: "v"})
	}
	add(history.Line{Type: history.Faulted, Fault: &history.Fault{Kind: "kill", Ended: true, Effect: effect, Evidence: "the node was gone"}})
	add(history.Line{Type: history.Marked, Text: history.MarkQuiet})
	lines[len(lines)-1].At = int64(time.Second)
	add(history.Line{Type: history.Stated, State: &state})
	lines[len(lines)-1].At = int64(time.Second)
	return p, lines
}

func TestReport(t *testing.T) {
	for _, c := range []struct {
		name   string
		writes int
		effect bool
		change func(p *schedule.Plan, lines []history.Line)
		void   string
		fails  bool
	}{
		{"all well", 150, true, nil, "", false},
		{"too slow", 99, true, nil, "fewer than 100", false},
		{"no effect", 150, false, nil, "had no effect", false},
		{"a fault never ran", 150, true, func(p *schedule.Plan, _ []history.Line) { p.Nemeses = append(p.Nemeses, p.Nemeses[0]) }, "it never ended", false},
		{"no fault", 150, true, func(p *schedule.Plan, _ []history.Line) { p.Nemeses = nil }, "no fault", false},
		{"undecided", 150, true, func(_ *schedule.Plan, lines []history.Line) { lines[len(lines)-1].State = nil }, "undecided", false},
		{"a violation", 150, true, func(_ *schedule.Plan, lines []history.Line) { lines[2].Answer.Revision = 2 }, "", true},
	} {
		t.Run(c.name, func(t *testing.T) {
			p, lines := run(c.writes, c.effect)
			if c.change != nil {
				c.change(p, lines)
			}
			r, err := Make(p, lines, check.Options{Limit: 10 * time.Second})
			if err != nil {
				t.Fatal(err)
			}
			if void := strings.Join(r.Void, "\n"); c.void == "" && void != "" || !strings.Contains(void, c.void) {
				t.Errorf("void because of %q, want %q", void, c.void)
			}
			if fails := r.Violations > 0; fails != c.fails || r.Passed() != (c.void == "" && !c.fails) {
				t.Errorf("%d violations, passed %v: %+v", r.Violations, r.Passed(), r.Checks)
			}
		})
	}
}

func TestReportIsWritten(t *testing.T) {
	p, lines := run(150, true)
	r, err := Make(p, lines, check.Options{Limit: 10 * time.Second})
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "report.json")
	if err := r.Save(path); err != nil {
		t.Fatal(err)
	}
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	var again Report
	if err := json.Unmarshal(b, &again); err != nil || again.Checked != 150 || len(again.Faults) != 1 || again.Faults[0].Evidence == "" {
		t.Errorf("the saved report says %+v (%v)", again, err)
	}
	var text strings.Builder
	if err := r.WriteText(&text); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"ok   seed 3", "150 ok", "seen   kill on dc1/n1", "linearizable dc1"} {
		if !strings.Contains(text.String(), want) {
			t.Errorf("the text lacks %q:\n%s", want, text.String())
		}
	}
}
