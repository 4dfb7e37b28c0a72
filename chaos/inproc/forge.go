package main

import (
	"context"
	"fmt"

	"supercluster/chaos/drive"
	"supercluster/chaos/schedule"
	"supercluster/region/record"
	"supercluster/region/state"
)

// forgedAhead is how many records a forged head claims that its region signed and does not have.
const forgedAhead = 1000

// forger is the rows of a region that lies: the heads that it has of others are not those that they signed.
type forger struct {
	state.Reader
	hooks *hooks
}

// Pin gives the rows, or those of a liar.
func (s *storeHook) Pin() (state.Reader, func(), error) {
	rows, release, err := s.Region.Pin()
	s.hooks.mu.Lock()
	defer s.hooks.mu.Unlock()
	if err == nil && s.hooks.forging {
		rows = forger{rows, s.hooks}
	}
	return rows, release, err
}

// Get gives a row, with a forged head if it has one of another region.
func (f forger) Get(key []byte) ([]byte, bool, error) {
	value, found, err := f.Reader.Get(key)
	if err != nil || !found {
		return value, found, err
	}
	if alias, _, keyErr := record.DecodeFeedStateKey(key); keyErr != nil || alias == state.AliasSelf {
		return value, found, err
	}
	lie, ok := forgedState(value)
	if !ok {
		return value, found, err
	}
	f.hooks.mu.Lock()
	f.hooks.forged++
	f.hooks.mu.Unlock()
	return lie, true, nil
}

// forgedState changes the head of an imported channel. The signature stays: it is that of another head.
func forgedState(value []byte) ([]byte, bool) {
	s, err := record.DecodeFeedState(append([]byte(nil), value...))
	if err != nil || len(s.Head) == 0 {
		return nil, false
	}
	head, err := record.DecodeFeedHead(s.Head)
	if err != nil {
		return nil, false
	}
	head.Position.Sequence += forgedAhead
	s.Head = record.AppendFeedHead(nil, &head)
	return record.AppendFeedState(nil, &s), true
}

// forged starts a region again as a liar, which pulls and serves with forged heads, and afterwards as it was.
func (w *world) forged(ctx context.Context, n *schedule.Nemesis) effect {
	s := w.find(n.Targets[0])
	h := s.hooks
	set := func(on bool) int {
		h.mu.Lock()
		defer h.mu.Unlock()
		h.forging = on
		return h.forged
	}
	before := set(true)
	again := &schedule.Nemesis{Duration: 300}
	e := w.stopNodes(ctx, again, s, s.nodes...)
	drive.Last(ctx, n, func() bool { h.mu.Lock(); defer h.mu.Unlock(); return h.forged > before })
	after := set(false)
	if back := w.stopNodes(ctx, again, s, s.nodes...); !back.Seen || back.Stuck != "" {
		e = back
	}
	e.Seen, e.Evidence = e.Seen && after > before, fmt.Sprintf("%d forged heads were read to be shown; %s", after-before, e.Evidence)
	return e
}
