package state_test

import (
	"fmt"
	"math/rand/v2"
	"testing"

	"supercluster/region/record"
	"supercluster/region/state"
)

// homeEntries and receiverEntries are what a home and a receiver of its channels applied, with every operation of the feed
// among it, proposed by three replicas.
func homeEntries(t *testing.T) []record.Entry     { return proposed(feedHistory(t).home.kept) }
func receiverEntries(t *testing.T) []record.Entry { return proposed(feedHistory(t).receiver.kept) }

func proposed(entries []record.Entry) []record.Entry {
	for i := range entries {
		n := uint64(i)
		e := &entries[i]
		e.Replica, e.Boot, e.Sequence, e.Time = n%3+1, n/100+1, n, int64(n)*1e9
	}
	return entries
}

// feedHistory drives a pair by a fixed seed.
func feedHistory(t *testing.T) *pair {
	p, r := newPair(t), rand.New(rand.NewPCG(12, 7))
	names := []string{"instance:web/1", "instance:web/2", "instance:db/1", "config:a", "config:b", "route:r", "service:s", "odd:o"}
	pick := func(options ...string) string { return options[r.IntN(len(options))] }
	both := func(format string, args ...any) {
		line := fmt.Sprintf(format, args...)
		p.home.line(t, line)
		p.receiver.line(t, line)
	}
	for i := range 250 {
		name := names[r.IntN(len(names))]
		switch n := r.IntN(20); {
		case n < 6:
			p.home.line(t, fmt.Sprintf("req=r%d seen=9999 put %s %d", i, name, i))
		case n < 8:
			p.home.line(t, "del "+name)
		case n < 12:
			for _, op := range p.next(1+r.Uint32N(pairChannels), []int{1, 200, 1 << 20}[r.IntN(3)]) {
				if r.IntN(8) > 0 {
					p.receiver.op(t, op)
				}
			}
		case n == 12:
			both("trim 2 %d %d", 1+r.IntN(4), r.IntN(12))
		case n == 13:
			p.home.line(t, fmt.Sprintf("channel %d 4 c %s", r.IntN(5), pick("web/", "db/", "=web/1", "s")))
		case n == 14:
			p.receiver.line(t, pick("take 2", "take 2 web/", "link 2 9 1", "unlink 2 9", "unpeer 2 -", "peer 2 two", "alarm on 1", "alarm off 1"))
		case n == 15:
			both("place 1 1 9 default %s %d", pick("a", "web", "-"), 1+r.IntN(2))
		case n == 16:
			p.receiver.line(t, pick("put config:a mine", "del config:a", "put b 1", "del instance:web/1", "compact 1 20", "purge 1 9", "ns-create default n"))
		case n == 17 && i%3 == 0:
			f, _, err := state.ReadFederation(p.home.kv)
			if err != nil {
				t.Fatal(err)
			}
			h := p.head(2)
			h.Position.Incarnation++
			p.home.op(t, fence(record.FenceHealing, h))
			p.home.op(t, record.Op{Type: record.OpFence, SetFence: &record.SetFence{Fence: record.FenceHealing, Proof: record.AppendFeedHead(nil, &h), Reason: "again"}})
			p.home.line(t, "put config:a fenced")
			p.home.line(t, "heal put config:a healed")
			p.home.line(t, fmt.Sprintf("mint %d 0", f.Incarnation))
		default:
			for _, w := range []*world{p.home, p.receiver} {
				w.walkAll(t, 1+r.Uint32N(3))
			}
		}
	}
	for _, line := range []string{"alarm off 1", "peer 2 two", "link 2 9 1", "take 2"} {
		p.receiver.line(t, line)
	}
	p.settle()
	seen := map[record.OpType]bool{}
	for _, e := range append(p.home.kept, p.receiver.kept...) {
		seen[e.Ops[0].Type] = true
	}
	for op := record.OpPeer; op <= record.OpHeal; op++ {
		if !seen[op] {
			t.Errorf("no operation of type %d was applied", op)
		}
	}
	return p
}
