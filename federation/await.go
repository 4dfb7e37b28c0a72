package federation

import (
	"context"
	"encoding/hex"
	"sync"
	"time"

	"supercluster/internal/fault"
	"supercluster/region/record"
	"supercluster/region/state"
)

// Await waits until what this node has of a region, in the channels of some classes, covers a revision of its data.
func (f *Federation) Await(ctx context.Context, region [16]byte, incarnation, revision uint64, classes ...record.Class) error {
	for {
		changed, heard := f.cfg.Store.Changed(), f.ages.heard()
		var covered bool
		err := f.pinned(func(r state.Reader) (err error) {
			covered, err = f.covered(r, region, incarnation, revision, classes)
			return err
		})
		if err != nil || covered {
			return err
		}
		select {
		case <-changed:
		case <-heard:
		case <-ctx.Done():
			return fault.Wrap(fault.Deadline, ctx.Err(), "what is here of region %q does not cover revision %d yet", f.book.name(region), revision).
				WithHint("`supercluster federation links` says how the links are; level local answers at once")
		}
	}
}

func (f *Federation) covered(r state.Reader, region [16]byte, incarnation, revision uint64, classes []record.Class) (bool, error) {
	alias, _, found, err := state.FindRegion(r, region)
	if err != nil {
		return false, err
	}
	if !found {
		return false, fault.New(fault.NotFound, "no region with the id %s is known here", hex.EncodeToString(region[:]))
	}
	left := map[record.Class]bool{}
	for _, c := range classes {
		left[c] = true
	}
	all := true
	err = state.EachFeedState(r, alias, func(channel uint32, s *record.FeedState) error {
		doc, err := record.DecodeChannelDocument(s.Document)
		if err != nil || !wanted(classes, doc.Channel.Class) {
			return nil // not known yet
		}
		if !doc.Channel.MayHave(f.cfg.Identity.RegionID) {
			return nil // nothing of it comes here any more
		}
		if s.Position.Incarnation > incarnation {
			return fault.New(fault.Compacted, "region %q has been restored since: what it was at revision %d before may be lost", f.book.name(region), revision).
				WithHint("read without the token, and go on with the one of your next write")
		}
		delete(left, doc.Channel.Class)
		all = all && s.Position.Incarnation == incarnation &&
			max(s.Revision, f.ages.revision(channelName{region, channel}, s.Position)) >= revision
		return nil
	})
	return all && len(left) == 0, err
}

func wanted(classes []record.Class, c record.Class) bool {
	for _, w := range classes {
		if w == c {
			return true
		}
	}
	return false
}

// seenEvery is how often it is noted how far other regions were, and keepSeen how many notes of each are kept: more than
// the time for which request ids are remembered.
const (
	seenEvery = 5 * time.Second
	keepSeen  = 1024
)

// seen knows how far other regions were at least when this one was at a revision. A client says with a request id what
// revision of this region it had seen when it first sent it; the home asks the same in its own revisions.
type seen struct {
	mu    sync.Mutex
	notes map[[16]byte][]sight
}

type sight struct{ here, there uint64 }

func newSeen() *seen { return &seen{notes: map[[16]byte][]sight{}} }

func (s *seen) note(region [16]byte, here, there uint64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	all := s.notes[region]
	if n := len(all); n > 0 && (all[n-1].here == here || all[n-1].there == there) {
		return // the first note of a revision is the safe one
	}
	if len(all) == keepSeen {
		all = append(all[:0], all[1:]...)
	}
	s.notes[region] = append(all, sight{here, there})
}

// of gives a revision that the region had when this one was at a revision; 0 when nobody knows.
func (s *seen) of(region [16]byte, here uint64) uint64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	all := s.notes[region]
	for i := len(all) - 1; i >= 0; i-- {
		if all[i].here <= here {
			return all[i].there
		}
	}
	return 0
}

// Seen gives a revision that another region had reached when this one was at a revision; 0 when nobody knows.
func (f *Federation) Seen(region [16]byte, here uint64) uint64 { return f.seen.of(region, here) }

// noteSeen notes how far the other regions are now.
func (f *Federation) noteSeen(r state.Reader, here uint64) error {
	peers, _ := f.book.list()
	for _, p := range peers {
		there := uint64(0)
		if err := state.EachFeedState(r, p.alias, func(_ uint32, s *record.FeedState) error {
			if doc, err := record.DecodeChannelDocument(s.Document); err == nil && doc.Channel.Class != record.ClassControl {
				there = max(there, s.Revision)
			}
			return nil
		}); err != nil {
			return err
		}
		if there > 0 {
			f.seen.note(p.id, here, there)
		}
	}
	return nil
}

// keepSeen notes it again and again, until ctx ends.
func (f *Federation) keepSeen(ctx context.Context) error {
	for pause(ctx, seenEvery) {
		_ = f.pinned(func(r state.Reader) error { // a store that is not open yet is looked at again
			at, err := state.PositionsOf(r)
			if err != nil {
				return err
			}
			return f.noteSeen(r, at.Data)
		})
	}
	return nil
}
