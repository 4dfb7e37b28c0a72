package health

import (
	"testing"
	"time"

	"supercluster/registry"
)

// TestActive_Pause: a probe that failed while this process did not run says nothing about its target.
func TestActive_Pause(t *testing.T) {
	r := newRegion(t)
	in := tcpInstance("web", "1", 1)
	in.Checks[0].Fall = 1
	r.register(in)
	l := r.node("n1").newLoop(t.Context())
	l.apply(change{view: r.View(), changes: registry.Changes{All: true}})
	j := l.jobs[key("web", "1").Check("tcp")]
	finish := func(started time.Duration, out outcome) {
		l.agenda.remove(j)
		j.started = started
		l.flying++
		l.finish(result{job: j, out: out})
	}
	finish(l.now(), passed("ok"))

	started := l.last
	l.notice(l.last + 20*time.Second)
	finish(started, failed("no answer"))
	if j.state.Health != passing {
		t.Error("a failure over the pause counted")
	}
	finish(started, outcome{health: warning})
	if j.state.Health != warning {
		t.Error("an answer over the pause did not count")
	}
	finish(l.last, failed("no answer"))
	if j.state.Health != critical {
		t.Error("a failure after the pause did not count")
	}
	l.notice(l.last + maxGap)
	if l.gap != 20*time.Second {
		t.Errorf("gap %v, want that of the one pause", l.gap)
	}
}
