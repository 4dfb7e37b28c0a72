package store

import (
	"testing"

	"pgregory.net/rapid"

	"supercluster/region/record"
)

// madeBatch makes the commits of one Update after a position: system commits first.
func madeBatch(at record.Positions, system, data int) batch {
	var b batch
	commit := func(shard uint32, n int) {
		for range n {
			at = at.With(shard, at.Of(shard)+1)
			b.add([]record.Commit{{
				Position: record.Position{Shard: shard, Revision: at.Of(shard)},
				Events:   make([]record.Event, 1+int(at.Of(shard)%3)),
			}}, 50)
		}
	}
	commit(record.ShardSystem, system)
	commit(record.ShardData, data)
	b.end = at
	return b
}

// Cursors that read at their own pace see each commit after their start once and in order, or are told that the ring
// no longer has them; and the ring stays within its limits.
func TestRing_CursorsMissNothing(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		r := newRing(rapid.IntRange(1, 60).Draw(t, "events"), rapid.Int64Range(100, 20_000).Draw(t, "bytes"))
		at := record.Positions{System: 1, Data: 1}
		r.reset(at)
		type cursor struct {
			at   record.Positions
			next uint64
		}
		cursors := []cursor{{at: at}}
		for range rapid.IntRange(1, 60).Draw(t, "steps") {
			switch rapid.IntRange(0, 8).Draw(t, "step") {
			case 0:
				start := record.Positions{
					System: rapid.Uint64Range(1, at.System+2).Draw(t, "system"),
					Data:   rapid.Uint64Range(1, at.Data+2).Draw(t, "data"),
				}
				cursors = append(cursors, cursor{at: start})
			case 1:
				at = record.Positions{System: at.System + 1, Data: at.Data + rapid.Uint64Range(0, 3).Draw(t, "jump")}
				r.reset(at)
			case 2, 3, 4:
				b := madeBatch(at, rapid.IntRange(0, 2).Draw(t, "system"), rapid.IntRange(0, 4).Draw(t, "data"))
				if len(b.commits) > 0 {
					r.add(b)
					at = b.end
				}
			default:
				c := &cursors[rapid.IntRange(0, len(cursors)-1).Draw(t, "cursor")]
				commits, after, next, covered := r.read(c.at, c.next)
				if covered != c.at.Covers(r.floor) {
					t.Fatalf("covered = %v at %+v; the ring begins after %+v", covered, c.at, r.floor)
				}
				if !covered {
					c.at, c.next = furthest(c.at, at), 0 // as if read from the log
					continue
				}
				for i := range commits {
					p := commits[i].Position
					if p.Revision != c.at.Of(p.Shard)+1 {
						t.Fatalf("after revision %d of shard %d came %d", c.at.Of(p.Shard), p.Shard, p.Revision)
					}
					c.at = c.at.With(p.Shard, p.Revision)
				}
				if c.at != after {
					t.Fatalf("the ring says that the cursor is at %+v; its commits lead to %+v", after, c.at)
				}
				c.next = next
			}
			checkRing(t, r)
		}
		for _, c := range cursors {
			for {
				_, after, next, covered := r.read(c.at, c.next)
				if !covered || after == c.at {
					break
				}
				c.at, c.next = after, next
			}
			if c.at.Covers(r.floor) && !c.at.Covers(at) {
				t.Fatalf("a cursor ends at %+v; the newest commit is %+v", c.at, at)
			}
		}
	})
}

func checkRing(t *rapid.T, r *ring) {
	events, bytes := 0, int64(0)
	for _, b := range r.batches[r.head:] {
		events += b.events
		bytes += b.bytes
	}
	if events != r.events || bytes != r.bytes {
		t.Fatalf("the ring counts %d events, %d bytes and has %d, %d", r.events, r.bytes, events, bytes)
	}
	if events > r.maxEvents || bytes > r.maxBytes {
		t.Fatalf("the ring holds %d events, %d bytes; its limits are %d, %d", events, bytes, r.maxEvents, r.maxBytes)
	}
}

// The space of dropped batches is used again, however long the ring runs.
func TestRing_DoesNotGrow(t *testing.T) {
	r := newRing(100, 1<<20)
	at := record.Positions{System: 1, Data: 1}
	for range 10_000 {
		b := madeBatch(at, 0, 1)
		r.add(b)
		at = b.end
	}
	if cap(r.batches) > 1024 {
		t.Errorf("the ring has room for %d batches and holds %d", cap(r.batches), len(r.batches)-r.head)
	}
}

func TestRing_OneReadIsBounded(t *testing.T) {
	r := newRing(1<<20, 1<<40)
	at := record.Positions{System: 1, Data: 1}
	r.reset(at)
	for range 100 {
		b := madeBatch(at, 0, 100)
		r.add(b)
		at = b.end
	}
	commits, _, _, _ := r.read(record.Positions{System: 1, Data: 1}, 0)
	if len(commits) < deliverCommits || len(commits) > deliverCommits+100 {
		t.Errorf("one read gave %d commits; the bound is %d", len(commits), deliverCommits)
	}
	if first, _, _, _ := r.read(record.Positions{System: 1, Data: 9_901}, 0); len(first) != 100 || &first[0] != &r.batches[99].commits[0] {
		t.Error("the commits of one batch are copied")
	}
}
