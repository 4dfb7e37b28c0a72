package federation

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"

	pb "supercluster/api/gen/supercluster/v1"
	"supercluster/internal/fault"
	"supercluster/region/record"
	"supercluster/region/state"
)

// maxKeptNames bounds the records that a report of healing names.
const maxKeptNames = 100

// heal ends a fence that old data caused: it asks the peers for what they have of this region, brings back what is lost,
// and begins a new incarnation. What was changed here since this process began is kept, and reported.
func (f *Federation) heal(ctx context.Context) error {
	var row record.Federation
	restored := uint64(0) // before, under the same fence
	if err := f.pinned(func(r state.Reader) (err error) {
		if row, _, err = state.ReadFederation(r); err != nil {
			return err
		}
		before, err := keptReport(r)
		if underWay(before, &row) {
			restored = before.GetRestored()
		}
		return err
	}); err != nil {
		return err
	}
	if row.Fence != record.FenceHealing {
		return f.keepLate(ctx)
	}
	report := &pb.Healing{At: timestamppb.New(f.cfg.Now()), Restored: restored}
	if f.announced != row.FencedAt {
		f.announced = row.FencedAt
		f.log.Warn("healing from peers", "reason", row.Reason)
	}
	var channels []record.Channel
	if err := f.pinned(func(r state.Reader) (err error) {
		if channels, err = state.Channels(r); err != nil {
			return err
		}
		at, err := state.PositionsOf(r)
		report.Revision = at.Data
		return err
	}); err != nil {
		return err
	}
	h := newHealing(f, report, row.Seen, channels)
	if err := h.bringBack(ctx, channels); err != nil {
		return err
	}
	if err := h.nameLosses(); err != nil {
		return err
	}
	return f.beginAnew(ctx, report, &row, h.seen)
}

// beginAnew ends a fence by a new incarnation. The region keeps the report first: nobody could make it again afterwards.
func (f *Federation) beginAnew(ctx context.Context, report *pb.Healing, row *record.Federation, seen uint64) error {
	fitReport(report)
	ctx, done := context.WithTimeout(context.WithoutCancel(ctx), callTimeout)
	defer done()
	unkept, err := f.keepReport(ctx, report)
	if err != nil {
		return err
	}
	if _, err := f.propose(ctx, record.Op{Type: record.OpMint, Mint: &record.Mint{Incarnation: row.Incarnation, Seen: seen}}); err != nil {
		return err
	}
	f.mu.Lock()
	f.unkept, f.proof = unkept, nil
	f.mu.Unlock()
	f.log.Warn("healed from peers; a new incarnation began", "restored", report.Restored, "kept", report.Kept,
		"kept_names", report.KeptNames, "unreachable", report.Unreachable, "lost", report.Lost)
	return nil
}

// source is a peer that has a channel of this region.
type source struct {
	u        *uplink
	at       record.FeedPosition
	revision uint64          // of this region, as far as the peer had seen it
	document *record.Channel // as the peer shows it; nil if this region did not sign it
}

// survey asks the peers what they have of this region, by channel, the newest first. It waits for each peer: the one that
// comes last may be the only one that has the newest. For some it waits no longer than a third of the time when others
// answered who have at least what proved the loss. It gives the peers that did not answer, too.
func (f *Federation) survey(ctx context.Context) (found map[uint32][]source, silent []string) {
	began := time.Now()
	for wait := firstPullWait; ; wait = min(2*wait, time.Second) {
		found = map[uint32][]source{}
		answered := 0
		peers, _ := f.book.list()
		missing := map[[16]byte]string{}
		for _, p := range peers {
			missing[p.id] = f.book.name(p.id)
		}
		for _, u := range f.upNow() {
			if f.shownBy(ctx, u, found) {
				answered++
				delete(missing, u.peer.id)
			}
		}
		waited := time.Since(began)
		enough := answered > 0 && waited > f.cfg.Tuning.HealWithin/3 && f.proven(found)
		if answered == len(peers) && f.proven(found) || enough || waited > f.cfg.Tuning.HealWithin || !pause(ctx, wait) {
			for _, all := range found {
				slices.SortStableFunc(all, func(a, b source) int {
					if a.at.After(b.at) {
						return -1
					}
					return 1
				})
			}
			return found, slices.Sorted(maps.Values(missing))
		}
	}
}

// proven reports whether what was found is at least what proved to this process that the region had lost something.
func (f *Federation) proven(found map[uint32][]source) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	p := f.proof
	return p == nil || slices.ContainsFunc(found[p.Channel], func(s source) bool { return !p.Position.After(s.at) })
}

// healing is one attempt to heal.
type healing struct {
	f       *Federation
	report  *pb.Healing
	unknown unknownRecords
	seen    uint64   // the newest incarnation that anybody showed
	silent  []string // peers that did not answer

	channels     map[uint32]*record.Channel // those of the region, by id, as they are by now
	young        map[uint32]*record.Channel // those of them that were made again
	lostChannels map[uint32]string          // why a channel that peers show was not
}

func newHealing(f *Federation, report *pb.Healing, seen uint64, channels []record.Channel) *healing {
	h := &healing{
		f: f, report: report, unknown: unknownRecords{}, seen: seen,
		channels: map[uint32]*record.Channel{}, young: map[uint32]*record.Channel{}, lostChannels: map[uint32]string{},
	}
	for i := range channels {
		h.channels[channels[i].ID] = &channels[i]
	}
	return h
}

// bringBack brings back what is lost of the channels. What a peer has and did not give, perhaps because the link to it ended, is asked
// for again: the new incarnation takes it away from the peer, too. That goes on for as long as healing waits for peers.
func (h *healing) bringBack(ctx context.Context, left []record.Channel) error {
	began := time.Now()
	for wait := firstPullWait; ; wait = min(2*wait, time.Second) {
		last := time.Since(began) > h.f.cfg.Tuning.HealWithin
		failed, had, err := h.round(ctx, left, last)
		if err != nil || !had || last || !pause(ctx, wait) {
			return errors.Join(err, ctx.Err())
		}
		left = failed
	}
}

// round tries each channel once, and gives those that could not be brought back; had: of one of them a peer has something. Before the
// last round only the peers with the newest head of a channel are asked for it.
func (h *healing) round(ctx context.Context, left []record.Channel, last bool) (failed []record.Channel, had bool, err error) {
	found, silent := h.f.survey(ctx)
	h.silent, h.report.Unreachable = silent, nil
	young, err := h.documents(ctx, found)
	if err != nil {
		return nil, false, err
	}
	left = slices.Concat(left, young)
	for i := range left {
		c, from := &left[i], found[left[i].ID]
		for _, s := range from {
			h.seen = max(h.seen, s.at.Incarnation)
			h.report.SeenRevision = max(h.report.SeenRevision, s.revision)
		}
		err := h.channel(ctx, c, from, last)
		switch {
		case ctx.Err() != nil:
			return nil, false, ctx.Err()
		case errors.Is(err, errNotNow):
			return nil, false, err
		case err != nil:
			failed, had = append(failed, *c), had || len(from) > 0
			h.report.Unreachable = append(h.report.Unreachable, fmt.Sprintf("channel %d: %v", c.ID, err))
		}
	}
	return failed, had, nil
}

// channel brings back what the peer with the newest head of a channel of this region has of it, or the one after it, which may be
// older if all are asked. A peer that is where this region was before has nothing that it lost: what came after would be taken for
// deleted.
func (h *healing) channel(ctx context.Context, c *record.Channel, from []source, all bool) error {
	f := h.f
	var err error = fault.New(fault.Unavailable, "no peer that has it was reached in time")
	for i, s := range from {
		if !all && from[0].at.After(s.at) {
			break
		}
		been, readErr := f.been(c.ID, s.at)
		switch {
		case readErr != nil:
			return readErr
		case been && i == 0:
			return nil
		case been:
			continue
		}
		loss := &loss{f: f, channel: c, selector: c.Selector, unknown: unknownRecords{}}
		if s.document != nil {
			loss.selector = s.document.Selector
		}
		if err = loss.restoreFrom(ctx, s, all); err == nil {
			err = loss.bringBack(ctx, h.report)
		}
		if err == nil {
			loss.addTo(h.report)
			h.unknown.add(loss.unknown)
			return nil
		}
		if errors.Is(err, errNotNow) {
			return err
		}
		f.log.Warn("a peer could not give back a channel of this region", "peer", f.book.name(s.u.peer.id), "channel", c.ID, "error", err)
	}
	return err
}

// been reports whether a channel of this region has been at a position. What its log no longer tells was before what it does tell,
// and what an incarnation before this one had and did not pass on was given up when this one began.
func (f *Federation) been(channel uint32, at record.FeedPosition) (been bool, err error) {
	err = f.pinned(func(r state.Reader) error {
		s, found, err := state.FeedStateOf(r, state.AliasSelf, channel)
		switch {
		case err != nil || !found:
			return err
		case at.Incarnation != s.Position.Incarnation:
			been = at.Incarnation < s.Position.Incarnation
			return nil
		case at.Sequence <= s.FloorSequence:
			been = true
			return nil
		}
		_, been, err = state.FeedDigestAt(r, state.AliasSelf, channel, &s, at)
		return err
	})
	return been, err
}

// upNow lists the uplinks whose connection is up.
func (f *Federation) upNow() []*uplink {
	f.mu.Lock()
	defer f.mu.Unlock()
	var up []*uplink
	for _, u := range f.uplinks {
		u.mu.Lock()
		if u.calls != nil {
			up = append(up, u)
		}
		u.mu.Unlock()
	}
	return up
}

// shownBy adds what a peer has of this region; false: it did not answer.
func (f *Federation) shownBy(ctx context.Context, u *uplink, found map[uint32][]source) bool {
	ctx, cancel := context.WithTimeout(ctx, f.cfg.Tuning.HealWithin/10)
	defer cancel()
	body, err := u.call(ctx, callOffers, nil)
	if err != nil {
		return false
	}
	offers, err := decodeOffers(body)
	if err != nil {
		return false
	}
	for i := range offers {
		head, err := record.DecodeFeedHead(offers[i].head)
		if err == nil && head.Region == f.cfg.Identity.RegionID && f.book.verify(head.Region, head.Signed(), head.Signature) {
			doc := f.ownDocument(head.Channel, offers[i].document)
			found[head.Channel] = append(found[head.Channel], source{u, head.Position, head.Revision, doc})
		}
	}
	return true
}
