package federation

import (
	"encoding/binary"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"supercluster/federation/feed"
	"supercluster/federation/link"
)

func numberedMessage(n uint64, size int) link.Message {
	return link.Message{Body: append(binary.BigEndian.AppendUint64(nil, n), make([]byte, size)...)}
}

// Whatever lane brings what, messages are delivered once and in order.
func TestSequencer_OrdersWhatLanesBring(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	for range 200 {
		order := r.Perm(50)
		var q sequencer
		var got []byte
		for _, n := range order {
			m := numberedMessage(uint64(n), 0)
			m.Body = append(m.Body, byte(n))
			if err := q.take(m, time.Unix(1, 0), func(m link.Message) error {
				got = append(got, m.Body[0])
				return nil
			}); err != nil {
				t.Fatal(err)
			}
		}
		if len(got) != 50 || !slices.IsSorted(got) || q.bytes != 0 || len(q.ahead) != 0 || !q.since.IsZero() {
			t.Fatalf("delivered %v; %d bytes left", got, q.bytes)
		}
	}
}

// What comes twice is delivered once, whichever comes first; a copy that comes first is counted.
func TestSequencer_TakesOneOfTwo(t *testing.T) {
	saved := 0
	q := sequencer{saved: func() { saved++ }}
	var got []byte
	for _, step := range []struct {
		n     uint64
		copy  bool
		saved int
		want  string
	}{
		{0, false, 0, "0"},
		{0, true, 0, "0"},
		{2, true, 1, "0"},
		{2, true, 1, "0"},
		{2, false, 1, "0"},
		{1, true, 2, "012"},
		{1, false, 2, "012"},
		{3, false, 2, "0123"},
	} {
		m := numberedMessage(step.n, 0)
		m.Body, m.Copy = append(m.Body, '0'+byte(step.n)), step.copy
		if err := q.take(m, time.Unix(1, 0), func(m link.Message) error {
			got = append(got, m.Body[0])
			return nil
		}); err != nil {
			t.Fatal(err)
		}
		if string(got) != step.want || saved != step.saved {
			t.Errorf("after %d (copy %t): %q was delivered, %d saved; not %q, %d", step.n, step.copy, got, saved, step.want, step.saved)
		}
	}
	if q.bytes != 0 || len(q.ahead) != 0 {
		t.Errorf("%d messages of %d bytes still wait", len(q.ahead), q.bytes)
	}
}

func TestSequencer_RefusesWhatCannotBe(t *testing.T) {
	none := func(link.Message) error { return nil }
	var q sequencer
	if q.take(link.Message{Body: []byte{1}}, time.Unix(1, 0), none) == nil {
		t.Error("a message without a number was taken")
	}
	if err := q.take(numberedMessage(0, 0), time.Unix(1, 0), none); err != nil {
		t.Fatal(err)
	}
	if err := q.take(numberedMessage(2, maxAheadBytes-10), time.Unix(1, 0), none); err != nil {
		t.Fatal(err)
	}
	if q.take(numberedMessage(3, 100), time.Unix(1, 0), none) == nil {
		t.Error("more bytes wait than may")
	}
	if q.stuck(time.Unix(1, 0).Add(gapWithin)) || !q.stuck(time.Unix(1, 0).Add(gapWithin+1)) {
		t.Error("a gap is noticed too early, or too late")
	}
}

// What still comes of an earlier pull is not taken for the answer to the one under way.
func TestPuller_AnswersOfAnEarlierPullAreLeftOut(t *testing.T) {
	p := &puller{asked: 7}
	batch := func() *feed.Message { return &feed.Message{Type: feed.TypeBatch, Batch: &feed.Batch{}} }
	opened := func(stamp int64) *feed.Message { return &feed.Message{Type: feed.TypeOpened, Stamp: stamp} }
	refusal := &feed.Message{Type: feed.TypeRefuse, Refuse: &feed.Refuse{Reason: feed.RefusedFenced}}
	last := batch()
	got := p.answers([]*feed.Message{batch(), opened(6), batch(), refusal, opened(7), last})
	if len(got) != 2 || got[0] != refusal || got[1] != last {
		t.Errorf("%d messages are answers: %+v", len(got), got)
	}
	if got = p.answers([]*feed.Message{batch()}); len(got) != 1 {
		t.Errorf("the answer ended after its first messages")
	}
}
