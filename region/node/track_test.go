package node

import (
	"context"
	"sync"
	"testing"
	"testing/synctest"

	"supercluster/internal/bubble"
	"supercluster/region/record"
)

// takeOver is an operation that goes alone, with so many bytes.
func takeOver(size int) record.Op {
	return record.Op{Type: record.OpImport, Import: &record.Import{Records: [][]byte{make([]byte, size)}}}
}

func TestTracks_WhatGoesAloneAndWhatSharesDoNotWaitForEachOther(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		b := newWorkbench(t, 1, nil)
		b.log.hold = make(chan struct{})
		var callers sync.WaitGroup
		send := func(op record.Op) {
			callers.Go(func() {
				if _, err := b.g.propose(context.Background(), op); err != nil {
					t.Error(err)
				}
			})
			synctest.Wait()
		}
		onTheirWay := func() int {
			b.g.mu.Lock()
			defer b.g.mu.Unlock()
			return len(b.g.open)
		}
		for i, step := range []struct {
			op     record.Op
			groups int
		}{
			{put("a"), 1},
			{put("b"), 1}, // waits for those that it shares with
			{takeOver(1), 2},
			{takeOver(1), 3},
			{takeOver(1), 4},
			{takeOver(1), 5},
			{takeOver(1), 5}, // no slot is free
		} {
			if send(step.op); onTheirWay() != step.groups {
				t.Errorf("after operation %d: %d groups on their way, want %d", i, onTheirWay(), step.groups)
			}
		}
		close(b.log.hold)
		callers.Wait()
		b.stop()
		shared := 0
		for _, e := range b.log.entries() {
			for _, op := range e.Ops {
				if op.Alone() && len(e.Ops) > 1 {
					t.Errorf("an operation that goes alone is in a group of %d", len(e.Ops))
				}
				if !op.Alone() {
					shared++
				}
			}
		}
		if n := len(b.log.entries()); n != 7 || shared != 2 {
			t.Errorf("%d groups with %d operations that share, want 7 with 2", n, shared)
		}
	})
}

// What catches up takes its turn with the groups, as it came.
func TestTracks_LargeOperationsTakeTheirTurn(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		b := newWorkbench(t, 1, nil)
		b.log.hold = make(chan struct{})
		var callers sync.WaitGroup
		for i, step := range []struct {
			op     record.Op
			groups int
		}{
			{put("a"), 1},
			{takeOver(besideBytes), 1},
			{put("b"), 1},
			{takeOver(besideBytes), 1},
			{takeOver(1), 2},
			{put("c"), 2},
		} {
			callers.Go(func() {
				if _, err := b.g.propose(context.Background(), step.op); err != nil {
					t.Error(err)
				}
			})
			synctest.Wait()
			b.g.mu.Lock()
			if got := len(b.g.open); got != step.groups {
				t.Errorf("after operation %d: %d groups on their way, want %d", i, got, step.groups)
			}
			b.g.mu.Unlock()
		}
		close(b.log.hold)
		callers.Wait()
		b.stop()
		turns := ""
		for _, e := range b.log.entries() {
			switch op := e.Ops[0]; {
			case !op.Alone():
				turns += " " + op.RequestID
			case len(op.Import.Records[0]) > 1:
				turns += " large"
			}
		}
		if want := " a large b large c"; turns != want {
			t.Errorf("groups went in the order%s, want%s", turns, want)
		}
	})
}
