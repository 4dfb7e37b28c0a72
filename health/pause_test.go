package health

import (
	"testing"
	"time"

	pb "supercluster/api/gen/supercluster/v1"
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

// TestLinks_Bounded: connections are kept up to a cost, and every one that is not is closed.
func TestLinks_Bounded(t *testing.T) {
	l := newRegion(t).node("n1").newLoop(t.Context())
	var jobs []*job
	closed := 0
	for range maxLinks/8 + 10 {
		j := &job{to: target{kind: pb.CheckType_CHECK_TYPE_GRPC, every: time.Second}}
		l.keep(j, closer(func() { closed++ }))
		jobs = append(jobs, j)
	}
	if l.links != maxLinks || closed != 10 {
		t.Errorf("links cost %d, %d were closed at once", l.links, closed)
	}
	for _, j := range jobs {
		l.unlink(j)
	}
	if l.links != 0 || closed != len(jobs) {
		t.Errorf("in the end links cost %d and %d of %d are closed", l.links, closed, len(jobs))
	}
	slow := &job{to: target{every: maxLinkAge + 1}}
	if l.keep(slow, closer(func() { closed++ })); slow.link != nil || closed != len(jobs)+1 {
		t.Error("a connection is kept for longer than servers do")
	}
}

type closer func()

func (c closer) Close() error {
	c()
	return nil
}
