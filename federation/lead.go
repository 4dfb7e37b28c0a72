package federation

import (
	"bytes"
	"context"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"supercluster/internal/fault"
	"supercluster/region/record"
	"supercluster/region/state"
	"supercluster/registry"
)

// lead does what only the leader does, each time this node becomes it, until ctx ends.
func (f *Federation) lead(ctx context.Context) error {
	select {
	case <-f.cfg.Store.Ready():
	case <-ctx.Done():
		return nil
	}
	if !f.begun(ctx) {
		return nil
	}
	for {
		leads, changed := f.cfg.Store.Leads()
		if leads {
			term, end := context.WithCancel(ctx)
			go func() {
				select {
				case <-changed:
					end()
				case <-term.Done():
				}
			}()
			err := f.reign(term)
			end()
			if ctx.Err() == nil && err != nil {
				return err
			}
		}
		select {
		case <-ctx.Done():
			return nil
		case <-changed:
		}
	}
}

// begun notes the revision that this process began with, without which healing takes all that is here for newer than what was lost;
// false: ctx ended before.
func (f *Federation) begun(ctx context.Context) bool {
	for {
		at, err := f.positions()
		if err == nil {
			f.started.Store(at.Data)
			return true
		}
		f.log.Debug("the revision that this process began with cannot be read yet", "error", err)
		if !pause(ctx, firstPullWait) {
			return false
		}
	}
}

// reign keeps a link to each peer, and does the duties, until ctx ends.
func (f *Federation) reign(ctx context.Context) error {
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error { return ended(ctx, f.keepUplinks(ctx)) })
	g.Go(func() error { return ended(ctx, f.duties(ctx)) })
	g.Go(func() error { return ended(ctx, f.reach.lead(ctx)) })
	return g.Wait()
}

// keepUplinks has exactly one uplink for each peer.
func (f *Federation) keepUplinks(ctx context.Context) error {
	var all sync.WaitGroup
	defer all.Wait()
	ends := map[[16]byte]context.CancelFunc{}
	defer func() {
		for _, end := range ends {
			end()
		}
	}()
	for {
		peers, changed := f.book.list()
		now := map[[16]byte]bool{}
		for _, p := range peers {
			now[p.id] = true
			if ends[p.id] != nil {
				continue
			}
			one, end := context.WithCancel(ctx)
			ends[p.id] = end
			all.Go(func() {
				if err := f.runUplink(one, p); err != nil && one.Err() == nil {
					f.log.Error("the link to a peer cannot be kept", "region", f.book.name(p.id), "error", err)
				}
			})
		}
		for id, end := range ends {
			if !now[id] {
				end()
				delete(ends, id)
			}
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return nil
		}
	}
}

// duties looks again and again at what there is to do: the region's own document and channels, walks, trims, healing.
func (f *Federation) duties(ctx context.Context) error {
	said := ""
	sums := &summaries{f: f, seen: map[registry.ServiceKey]*registry.ServiceView{}}
	for {
		err := f.duty(ctx)
		if err == nil {
			err = sums.sumUp(ctx)
		}
		switch {
		case ctx.Err() != nil:
			return nil
		case fault.KindOf(err) == fault.Corrupt:
			return err
		case err != nil && err.Error() != said:
			said = err.Error()
			f.log.Warn("a duty of the federation failed; it is tried again", "error", err)
		case err == nil:
			said = ""
		}
		if !pause(ctx, f.cfg.Tuning.DutyEvery) {
			return nil
		}
	}
}

func (f *Federation) duty(ctx context.Context) error {
	if peers, _ := f.book.list(); len(peers) > 0 {
		if err := f.peerDuty(ctx, peers); err != nil {
			return err
		}
	}
	// What came from a region that is no peer any more goes by a walk too, also when it was the last one.
	if err := f.walkAll(ctx); err != nil {
		return err
	}
	return f.trimAll(ctx)
}

// peerDuty is what there is to do while there is somebody to exchange anything with.
func (f *Federation) peerDuty(ctx context.Context, peers []*peer) error {
	if err := f.describeSelf(ctx); err != nil {
		return err
	}
	if err := f.makeChannels(ctx); err != nil {
		return err
	}
	if err := f.adopt(ctx, peers); err != nil {
		return err
	}
	if err := f.heal(ctx); err != nil {
		return err
	}
	return f.laterDuty(ctx)
}

// makeChannels gives the region its first channels: one of each class, of everything, for every peer.
func (f *Federation) makeChannels(ctx context.Context) error {
	have := map[record.Class]bool{}
	if err := f.pinned(func(r state.Reader) error {
		docs, err := state.Channels(r)
		for i := range docs {
			have[docs[i].Class] = true
		}
		return err
	}); err != nil {
		return err
	}
	for c := record.ClassControl; c < record.ClassSummaries; c++ { // who wants summaries makes a channel for them
		if have[c] {
			continue
		}
		doc := record.Channel{Name: "all", Class: c, Projection: record.ProjectionFull}
		if _, err := f.propose(ctx, record.Op{Type: record.OpSetChannel, SetChannel: &record.SetChannel{Channel: doc}}); err != nil && !fault.Is(err, fault.Exists) {
			return err
		}
	}
	return nil
}

// adopt takes over what peers say of themselves in their feeds, such as a new name, into what this region shows of them.
func (f *Federation) adopt(ctx context.Context, peers []*peer) error {
	for _, p := range peers {
		var newer []byte
		if err := f.pinned(func(r state.Reader) error {
			k := record.Key{Shard: record.ShardSystem, Kind: record.KindRegion, Scope: p.alias, Name: p.doc.GetId()}
			theirs, found, err := state.Get(r, k, 0)
			if err != nil || !found {
				return err
			}
			k.Scope = record.ScopeRegion
			ours, _, err := state.Get(r, k, 0)
			if !bytes.Equal(ours.Value, theirs.Value) {
				newer = theirs.Value
			}
			return err
		}); err != nil {
			return err
		}
		if newer == nil {
			continue
		}
		op := record.Op{Type: record.OpPeer, Peer: &record.Peer{
			RegionID: p.id, Value: newer, Writer: record.Writer{Actor: "federation", Message: "as the region describes itself"},
		}}
		if _, err := f.propose(ctx, op); err != nil {
			return err
		}
	}
	return nil
}

// step is where a walk stands.
type step struct {
	region  [16]byte
	channel uint32
	state   record.FeedState
}

// channelStates lists the channels that are here.
func channelStates(r state.Reader) (all []step, err error) {
	regions, err := state.Regions(r)
	if err != nil {
		return nil, err
	}
	for i := range regions {
		err := state.EachFeedState(r, uint32(i+1), func(channel uint32, s *record.FeedState) error {
			all = append(all, step{regions[i].ID, channel, *s})
			return nil
		})
		if err != nil {
			return nil, err
		}
	}
	return all, nil
}

// walkAll goes through the records of every channel whose selector, link or placement changed, to the end.
func (f *Federation) walkAll(ctx context.Context) error {
	for more := true; more && ctx.Err() == nil; {
		var all []step
		if err := f.pinned(func(r state.Reader) (err error) {
			all, err = channelStates(r)
			return err
		}); err != nil {
			return err
		}
		more = false
		for i := range all {
			s := &all[i]
			if !s.state.Walking {
				continue
			}
			more = true
			op := record.Op{Type: record.OpWalk, Walk: &record.Walk{
				RegionID: s.region, Channel: s.channel, Step: s.state.Step, From: s.state.Next, Limit: record.MaxWalk,
			}}
			if _, err := f.propose(ctx, op); err != nil && !stale(err) {
				return err
			}
		}
	}
	return nil
}

// stale reports whether an operation came too late to matter.
func stale(err error) bool { return fault.KindOf(err) == fault.Conflict }

// Logs of channels: how long a record is kept, and how many go at once.
const (
	keepFeed   = 24 * time.Hour
	trimAtOnce = 4096
)

// trimAll removes the oldest records of logs that are too long, too large or too old. Who stands before them gets a
// snapshot.
func (f *Federation) trimAll(ctx context.Context) error {
	var ops []record.Op
	if err := f.pinned(func(r state.Reader) error {
		all, err := channelStates(r)
		if err != nil {
			return err
		}
		for i := range all {
			through, err := f.trimThrough(r, &all[i])
			if err != nil {
				return err
			}
			if through > 0 {
				ops = append(ops, record.Op{Type: record.OpTrimFeed, TrimFeed: &record.TrimFeed{
					RegionID: all[i].region, Channel: all[i].channel, Through: through,
				}})
			}
		}
		return nil
	}); err != nil {
		return err
	}
	for _, op := range ops {
		if _, err := f.propose(ctx, op); err != nil {
			return err
		}
	}
	return nil
}

// trimThrough gives the sequence up to which a log may go; 0 if it stays.
func (f *Federation) trimThrough(r state.Reader, s *step) (uint64, error) {
	length := s.state.Position.Sequence - min(s.state.FloorSequence, s.state.Position.Sequence)
	if length == 0 {
		return 0, nil
	}
	through := s.state.FloorSequence + min(trimAtOnce, length)
	if length > f.cfg.Tuning.KeepRecords || s.state.LogBytes > f.cfg.Tuning.KeepBytes {
		return through, nil
	}
	if length < trimAtOnce {
		return 0, nil
	}
	alias, _, _, err := state.FindRegion(r, s.region)
	if err != nil {
		return 0, err
	}
	rows, err := state.FeedLog(r, alias, s.channel, &s.state, through-1, 1)
	if err != nil || len(rows) == 0 {
		return 0, err
	}
	rec, err := record.DecodeFeedRecord(rows[0].Record)
	if err != nil || f.cfg.Now().Sub(time.Unix(0, rec.Writer.Time)) < keepFeed {
		return 0, nil
	}
	return through, nil
}
