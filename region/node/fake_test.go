package node

import (
	"sync"
	"time"

	"github.com/lni/dragonboat/v4"

	"supercluster/region/record"
)

// fakeLog is a Raft group in memory that loses what the test wants lost. It applies like the real machine: each
// group once, by its sequence.
type fakeLog struct {
	mu      sync.Mutex
	plan    func(nth int, e *record.Entry) fate
	n       int
	groups  []record.Entry // every entry that reached the log, duplicates too
	applied map[string]int // how often each operation ran
	seen    map[uint64]bool
	read    func(nth int) fate
	reads   int
	// hold delays answers until it is closed, when it is not nil.
	hold chan struct{}
}

// fate is what happens to one proposal.
type fate struct {
	refuse  error         // Propose fails
	dropped bool          // never in the log, and the proposer is told
	lost    bool          // never in the log, and nobody is told
	mute    bool          // in the log, but the answer gets lost
	after   time.Duration // how long it takes
}

func newFakeLog(plan func(nth int, e *record.Entry) fate) *fakeLog {
	return &fakeLog{plan: plan, applied: map[string]int{}, seen: map[uint64]bool{}}
}

func (l *fakeLog) propose(command []byte, timeout time.Duration) (attempt, error) {
	e, err := record.DecodeEntry(append([]byte(nil), command...))
	if err != nil {
		return nil, err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.n++
	f := fate{}
	if l.plan != nil {
		f = l.plan(l.n, e)
	}
	if f.refuse != nil {
		return nil, f.refuse
	}
	a := newFakeAttempt(timeout)
	hold := l.hold
	go func() {
		if hold != nil {
			<-hold
		}
		time.Sleep(f.after)
		switch {
		case f.lost:
		case f.dropped:
			a.give(reply{kind: replyDropped})
		default:
			data := l.apply(e)
			if !f.mute {
				a.give(reply{kind: replyDone, data: data})
			}
		}
	}()
	return a, nil
}

func (l *fakeLog) apply(e *record.Entry) []byte {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.groups = append(l.groups, *e)
	results := make([]record.Result, len(e.Ops))
	for i := range e.Ops {
		results[i] = record.Result{Revision: uint64(len(l.groups)), Duplicate: l.seen[e.Sequence]}
		if !l.seen[e.Sequence] {
			l.applied[e.Ops[i].RequestID]++
		}
	}
	l.seen[e.Sequence] = true
	return record.AppendResults(nil, results)
}

func (l *fakeLog) readIndex(timeout time.Duration) (attempt, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.reads++
	f := fate{}
	if l.read != nil {
		f = l.read(l.reads)
	}
	if f.refuse != nil {
		return nil, f.refuse
	}
	a := newFakeAttempt(timeout)
	hold := l.hold
	go func() {
		if hold != nil {
			<-hold
		}
		time.Sleep(f.after)
		switch {
		case f.lost:
		case f.dropped:
			a.give(reply{kind: replyDropped})
		default:
			a.give(reply{kind: replyDone})
		}
	}()
	return a, nil
}

func (l *fakeLog) times(id string) int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.applied[id]
}

func (l *fakeLog) entries() []record.Entry {
	l.mu.Lock()
	defer l.mu.Unlock()
	return append([]record.Entry(nil), l.groups...)
}

// fakeAttempt times out like Dragonboat's.
type fakeAttempt struct {
	c chan reply
}

func newFakeAttempt(timeout time.Duration) *fakeAttempt {
	a := &fakeAttempt{c: make(chan reply, 2)}
	time.AfterFunc(timeout, func() { a.give(reply{kind: replyUnknown}) })
	return a
}

func (a *fakeAttempt) give(r reply) {
	select {
	case a.c <- r:
	default:
	}
}

func (a *fakeAttempt) await(wake <-chan struct{}, timer <-chan time.Time) (reply, bool) {
	select {
	case r := <-a.c:
		return r, true
	case <-wake:
	case <-timer:
	}
	return reply{}, false
}

var (
	errFakeBusy     = dragonboat.ErrSystemBusy
	errFakeNotReady = dragonboat.ErrShardNotReady
)
