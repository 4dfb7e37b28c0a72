package store

import (
	"sort"
	"sync"

	"supercluster/region/record"
)

// deliverCommits and deliverBytes bound what one call of a follower is given, give or take one batch.
const (
	deliverCommits = 1024
	deliverBytes   = 4 << 20
)

// ring keeps the commits of the last Updates. Followers are cursors into it: it knows none of them, so that their
// number and their slowness cost nothing.
type ring struct {
	maxEvents int
	maxBytes  int64

	mu      sync.RWMutex
	batches []batch // live ones from index head on
	head    int
	first   uint64 // number of batches[head]
	floor   record.Positions
	events  int
	bytes   int64

	changed broadcast
}

func newRing(maxEvents int, maxBytes int64) *ring {
	return &ring{maxEvents: maxEvents, maxBytes: maxBytes, first: 1}
}

// batch is what one Update committed. It never changes.
type batch struct {
	commits []record.Commit
	end     record.Positions // after it
	events  int
	bytes   int64
}

// reset empties the ring: followers before the floor need the transaction log.
func (r *ring) reset(floor record.Positions) {
	r.mu.Lock()
	r.first += uint64(len(r.batches)-r.head) + 1 // one more, so that a follower at the end looks at the floor again
	r.batches, r.head, r.events, r.bytes, r.floor = nil, 0, 0, 0, floor
	r.mu.Unlock()
	r.changed.signal()
}

// add appends what one Update committed and drops the oldest batches over the limits.
func (r *ring) add(b batch) {
	r.mu.Lock()
	r.batches = append(r.batches, b)
	r.events += b.events
	r.bytes += b.bytes
	for r.events > r.maxEvents || r.bytes > r.maxBytes {
		r.drop()
	}
	r.mu.Unlock()
	r.changed.signal()
}

func (r *ring) drop() {
	oldest := &r.batches[r.head]
	r.events -= oldest.events
	r.bytes -= oldest.bytes
	r.floor = oldest.end
	*oldest = batch{}
	r.head++
	r.first++
	if r.head > len(r.batches)/2 && r.head > 64 {
		kept := copy(r.batches, r.batches[r.head:])
		clear(r.batches[kept:])
		r.batches, r.head = r.batches[:kept], 0
	}
}

// read gives commits after a position, and the position after them. next is the number of the batch to read, or 0 to
// find it; covered is false when the ring has no longer, or not yet, everything after the position.
func (r *ring) read(at record.Positions, next uint64) (commits []record.Commit, after record.Positions, following uint64, covered bool) {
	r.mu.RLock()
	defer r.mu.RUnlock()
	live := r.batches[r.head:]
	if next < r.first || next > r.first+uint64(len(live)) {
		if !at.Covers(r.floor) {
			return nil, at, 0, false
		}
		next = r.first + uint64(sort.Search(len(live), func(i int) bool { return !at.Covers(live[i].end) }))
	}
	var taken int64
	own := false // commits is a slice of our own making, not that of a batch
	for i := next - r.first; i < uint64(len(live)) && len(commits) < deliverCommits && taken < deliverBytes; i++ {
		b := &live[i]
		switch fresh := commitsAfter(b.commits, at); {
		case len(commits) == 0:
			commits = fresh
		case own:
			commits = append(commits, fresh...)
		default:
			commits, own = append(commits[:len(commits):len(commits)], fresh...), true
		}
		taken += b.bytes
		at = furthest(at, b.end)
		next++
	}
	return commits, at, next, true
}

// commitsAfter gives the commits after a position; most often all of them, and then the same slice.
func commitsAfter(commits []record.Commit, at record.Positions) []record.Commit {
	stale := func(c *record.Commit) bool { return c.Position.Revision <= at.Of(c.Position.Shard) }
	for i := range commits {
		if !stale(&commits[i]) {
			continue
		}
		fresh := append([]record.Commit(nil), commits[:i]...)
		for j := i + 1; j < len(commits); j++ {
			if !stale(&commits[j]) {
				fresh = append(fresh, commits[j])
			}
		}
		return fresh
	}
	return commits
}

// furthest gives the later revision of each shard.
func furthest(a, b record.Positions) record.Positions {
	return record.Positions{System: max(a.System, b.System), Data: max(a.Data, b.Data)}
}
