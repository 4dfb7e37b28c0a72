package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"testing"

	"supercluster/chaos/check"
	"supercluster/chaos/drive"
	"supercluster/chaos/fleet"
	"supercluster/chaos/history"
	"supercluster/chaos/schedule"
	"supercluster/internal/procs"
)

// broken is a world whose region dc1 has one server, which ended and said why.
func broken(t *testing.T) (*world, *site) {
	t.Helper()
	group, err := procs.NewGroup()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(group.Close)
	p, err := group.Start("dc1-n1", "sh", "-c", "echo the list of its files is damaged; exit 3")
	if err != nil {
		t.Fatal(err)
	}
	<-p.Ended()
	conns, err := procs.Dial("127.0.0.1:1", 1)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conns[0].Close() })
	w := &world{excused: map[string]string{}}
	s := &site{world: w, Region: &fleet.Region{Name: "dc1", Conns: conns, Region: &procs.Region{Servers: []*procs.Process{p}, Nodes: []string{"n1"}}}}
	w.sites = []*site{s}
	return w, s
}

// A server that stays away is a violation and shows the end of its log, unless what was done to it explains that.
func TestStrike_AServerStaysAway(t *testing.T) {
	over, end := context.WithCancel(t.Context())
	end()
	for _, c := range []struct {
		name     string
		kind     string
		ctx      context.Context
		does     func(w *world, s *site) (string, error)
		violated bool
	}{
		{"killed", kill, t.Context(), func(_ *world, s *site) (string, error) { return "killed", s.back(t.Context()) }, true},
		{"killed twice", killAll, t.Context(), func(_ *world, s *site) (string, error) {
			return "killed", errors.Join(errors.New("no packet was lost"), s.back(t.Context()))
		}, true},
		{"its power came back", powerLoss, t.Context(), func(w *world, s *site) (string, error) {
			w.excuse("dc1/n1", "its disk has no power")
			w.pardon("dc1/n1")
			return "its disk came back", s.back(t.Context())
		}, true},
		{"its power did not come back", powerLoss, t.Context(), func(w *world, s *site) (string, error) {
			w.excuse("dc1/n1", "its disk has no power")
			return "no power", s.back(t.Context())
		}, false},
		{"old data", oldData, t.Context(), func(_ *world, s *site) (string, error) { return "", s.back(t.Context()) }, false},
		{"a full disk", diskFull, t.Context(), func(_ *world, s *site) (string, error) { return "", s.back(t.Context()) }, false},
		{"the time is over", kill, over, func(_ *world, s *site) (string, error) { return "killed", s.back(over) }, false},
		{"something else", kill, t.Context(), func(*world, *site) (string, error) { return "", errors.New("no such process") }, false},
	} {
		w, s := broken(t)
		right := strikes[c.kind]
		strikes[c.kind] = func(*world, context.Context, *schedule.Nemesis) (string, error) { return c.does(w, s) }
		e := w.Strike(c.ctx, &schedule.Nemesis{Kind: c.kind, Targets: []string{"dc1/n1"}})
		strikes[c.kind] = right
		if (e.Stuck != "") != c.violated || e.Seen != c.violated || e.Evidence == "" {
			t.Errorf("%s: %+v", c.name, e)
		}
		r := check.Recovered([]history.Line{ended(c.kind, e)})
		if said := strings.Contains(fmt.Sprint(r.Examples), "the list of its files is damaged"); (r.Violated == 1) != c.violated || said != c.violated {
			t.Errorf("%s: %+v", c.name, r)
		}
	}
}

// ended is what the driver writes of a nemesis that has ended.
func ended(kind string, e drive.Effect) history.Line {
	return history.Line{Type: history.Faulted, Fault: &history.Fault{Kind: kind, Ended: true, Effect: e.Seen, Evidence: e.Evidence, Stuck: e.Stuck}}
}

// Who is excused once stays so until a nemesis of the region ended well.
func TestStrike_AnExcuseLasts(t *testing.T) {
	w, s := broken(t)
	defer func(a, b func(*world, context.Context, *schedule.Nemesis) (string, error)) {
		strikes[oldData], strikes[kill] = a, b
	}(strikes[oldData], strikes[kill])
	defer func(f func(*world, context.Context, *schedule.Nemesis) (string, error)) { strikes[slowWatch] = f }(strikes[slowWatch])
	strikes[slowWatch] = func(*world, context.Context, *schedule.Nemesis) (string, error) { return "behind", nil }
	well := os.ErrInvalid
	strikes[oldData] = func(*world, context.Context, *schedule.Nemesis) (string, error) { return "exchanged", well }
	strikes[kill] = func(_ *world, ctx context.Context, _ *schedule.Nemesis) (string, error) { return "killed", s.back(ctx) }
	old, killed := &schedule.Nemesis{Kind: oldData, Targets: []string{"dc1"}}, &schedule.Nemesis{Kind: kill, Targets: []string{"dc1/n1"}}
	w.Strike(t.Context(), old)
	w.Strike(t.Context(), &schedule.Nemesis{Kind: slowWatch, Targets: []string{"dc1"}})
	if e := w.Strike(t.Context(), killed); e.Stuck != "" || e.Seen || !strings.Contains(e.Evidence, "old data") {
		t.Errorf("the region is on old data, and %+v", e)
	}
	well = nil
	w.Strike(t.Context(), old)
	if e := w.Strike(t.Context(), killed); e.Stuck == "" {
		t.Errorf("the region healed, and %+v", e)
	}
}
