package federation

import (
	"bytes"
	"context"
	"fmt"
	"maps"
	"slices"
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"

	pb "supercluster/api/gen/supercluster/v1"
	"supercluster/federation/feed"
	"supercluster/federation/link"
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
	if err := f.pinned(func(r state.Reader) (err error) {
		row, _, err = state.ReadFederation(r)
		return err
	}); err != nil || row.Fence != record.FenceHealing {
		return err
	}
	report := &pb.Healing{At: timestamppb.New(f.cfg.Now())}
	f.log.Warn("healing from peers", "reason", row.Reason)
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
	found, silent := f.survey(ctx)
	unknown := unknownRecords{}
	seen := row.Seen
	for i := range channels {
		c := &channels[i]
		for _, from := range found[c.ID] {
			seen = max(seen, from.at.Incarnation)
			report.SeenRevision = max(report.SeenRevision, from.revision)
		}
		if err := f.healChannel(ctx, c, found[c.ID], report, unknown); err != nil {
			report.Unreachable = append(report.Unreachable, fmt.Sprintf("channel %d: %v", c.ID, err))
		}
	}
	if ctx.Err() != nil {
		return ctx.Err()
	}
	if err := f.nameLosses(report, silent, unknown); err != nil {
		return err
	}
	mint, done := context.WithTimeout(context.WithoutCancel(ctx), callTimeout)
	defer done()
	if _, err := f.propose(mint, record.Op{Type: record.OpMint, Mint: &record.Mint{Incarnation: row.Incarnation, Seen: seen}}); err != nil {
		return err
	}
	f.mu.Lock()
	f.healing, f.proof = report, nil
	f.mu.Unlock()
	f.log.Warn("healed from peers; a new incarnation began", "restored", report.Restored, "kept", report.Kept,
		"kept_names", report.KeptNames, "unreachable", report.Unreachable, "lost", report.Lost)
	return nil
}

// source is a peer that has a channel of this region.
type source struct {
	u        *uplink
	at       record.FeedPosition
	revision uint64 // of this region, as far as the peer had seen it
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

// healChannel brings back what the peer with the newest head of a channel of this region has of it, or the one after it.
func (f *Federation) healChannel(ctx context.Context, c *record.Channel, from []source, report *pb.Healing, unknown unknownRecords) error {
	var err error = fault.New(fault.Unavailable, "no peer that has it was reached in time")
	for _, s := range from {
		loss := &loss{f: f, channel: c, report: report, unknown: unknownRecords{}}
		if err = loss.restoreFrom(ctx, s.u); err == nil {
			unknown.add(loss.unknown)
			return nil
		}
		f.log.Warn("a peer could not give back a channel of this region", "peer", f.book.name(s.u.peer.id), "channel", c.ID, "error", err)
	}
	return err
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
			found[head.Channel] = append(found[head.Channel], source{u, head.Position, head.Revision})
		}
	}
	return true
}

// restoreFrom takes a snapshot of a channel of this region from a peer, and brings back each record that is lost.
func (l *loss) restoreFrom(ctx context.Context, u *uplink) error {
	f, c := l.f, l.channel
	u.mu.Lock()
	conn := u.conn
	u.mu.Unlock()
	if conn == nil {
		return fault.New(fault.Unavailable, "the link has ended")
	}
	s, err := conn.Open(ctx, classOf(c.Class))
	if err != nil {
		return err
	}
	defer s.Close()
	ask := &feed.Message{Type: feed.TypePull, Region: f.cfg.Identity.RegionID, Channel: c.ID, Pull: &feed.Pull{Credit: 1 << 30, Whole: true}}
	if err := hello(ctx, s, false, newLaneName()); err != nil {
		return err
	}
	if err := s.Send(ctx, link.Message{Type: uint8(ask.Type), Body: feed.Append(nil, ask)}); err != nil {
		return err
	}
	digest := record.Digest{}
	for from := []byte(nil); ; {
		next, cancel := context.WithTimeout(ctx, f.cfg.Tuning.HealWithin)
		raw, err := s.Recv(next)
		cancel()
		if err != nil {
			return err
		}
		if len(raw.Body) < numbered {
			return fault.New(fault.Invalid, "a message on a stream of channels has no number")
		}
		m, err := feed.Decode(raw.Body[numbered:]) // one lane keeps the order
		switch {
		case err != nil:
			return err
		case m.Type == feed.TypeOpened:
			continue
		case m.Chunk == nil || !bytes.Equal(m.Chunk.From, from):
			return fault.New(fault.Unavailable, "the peer does not give a snapshot")
		}
		for i := range m.Chunk.Items {
			digest.Add(record.Element(m.Chunk.Items[i].Key, m.Chunk.Items[i].Entry))
		}
		if err := f.pinned(func(r state.Reader) error { return l.add(r, m.Chunk) }); err != nil {
			return err
		}
		if from = m.Chunk.To; len(from) > 0 {
			continue
		}
		head, err := record.DecodeFeedHead(m.Chunk.Target)
		if err != nil || !f.book.verify(head.Region, head.Signed(), head.Signature) || head.Digest != digest {
			return fault.New(fault.Denied, "what the peer gave is not what this region signed")
		}
		return l.bringBack(ctx)
	}
}

// maxLoss bounds the bytes that are held of what is lost in a channel until all of its snapshot was seen to be genuine.
const maxLoss = 256 << 20

// loss is what a channel of this region lost: kept until the digest proves the snapshot.
type loss struct {
	f       *Federation
	channel *record.Channel
	report  *pb.Healing
	ops     []record.TxnOp
	bytes   int
	unknown unknownRecords
}

// add compares one chunk with what is here.
func (l *loss) add(r state.Reader, chunk *feed.Chunk) error {
	if l.channel.Class == record.ClassControl {
		return nil // the region describes itself anew
	}
	theirs := make(map[string]struct{}, len(chunk.Items))
	for i := range chunk.Items {
		theirs[string(chunk.Items[i].Key)] = struct{}{}
		if err := l.judge(r, chunk.Items[i].Key, chunk.Items[i].Entry); err != nil {
			return err
		}
	}
	for from := chunk.From; ; {
		mine, next, err := state.FeedContent(r, state.AliasSelf, l.channel.ID, from, feed.MaxBatchBytes)
		if err != nil {
			return err
		}
		for i := range mine {
			if len(chunk.To) > 0 && bytes.Compare(mine[i].Key, chunk.To) >= 0 {
				return nil
			}
			if _, ok := theirs[string(mine[i].Key)]; ok {
				continue
			}
			if err := l.judge(r, mine[i].Key, nil); err != nil {
				return err
			}
		}
		if from = next; next == nil {
			return nil
		}
	}
}

// judge compares one record: that peers have it as entry, or nil that it had been deleted. What was changed here since this
// process began is kept.
func (l *loss) judge(r state.Reader, key, encoded []byte) error {
	k, err := record.DecodeFeedKey(key)
	if err != nil {
		return nil // it can not have been written here
	}
	local, ok, err := state.LocalKey(r, &k)
	if err == nil && !ok && encoded != nil {
		l.unknown.note(&k)
	}
	if err != nil || !ok {
		return err
	}
	mine, found, err := state.Get(r, local, 0)
	if err != nil {
		return err
	}
	op := record.TxnOp{Type: record.TxnDelete, Key: local}
	if encoded != nil {
		entry, err := record.DecodeFeedEntry(encoded)
		if err != nil {
			return nil
		}
		if found && bytes.Equal(mine.Value, entry.Value) {
			return nil
		}
		op = record.TxnOp{Type: record.TxnPut, Key: local, Value: entry.Value, Attributes: entry.Attributes}
	}
	since, err := state.ChangedSince(r, local, l.f.started.Load())
	if err != nil {
		return err
	}
	if since {
		if !found && encoded == nil {
			return nil // it is gone in both
		}
		if l.report.Kept++; len(l.report.KeptNames) < maxKeptNames {
			l.report.KeptNames = append(l.report.KeptNames, k.Name)
		}
		return nil
	}
	if l.bytes += len(op.Value) + len(key); l.bytes > maxLoss {
		return fault.New(fault.TooLarge, "more than %d bytes of channel %d are lost", maxLoss, l.channel.ID)
	}
	l.ops = append(l.ops, op)
	return nil
}

// bringBack writes what is lost.
func (l *loss) bringBack(ctx context.Context) error {
	for len(l.ops) > 0 {
		n, size := 0, 0
		for ; n < len(l.ops) && n < 256; n++ {
			if size += len(l.ops[n].Value); size > 1<<20 && n > 0 {
				break
			}
		}
		txn := &record.Txn{Shard: l.ops[0].Key.Shard, Then: l.ops[:n], Writer: record.Writer{
			Actor: "federation", Message: "brought back from a peer", Time: l.f.cfg.Now().UnixNano(),
		}}
		if _, err := l.f.propose(ctx, record.Op{Type: record.OpHeal, Txn: txn}); err != nil {
			return err
		}
		l.report.Restored += uint64(n)
		l.ops = l.ops[n:]
	}
	return nil
}
