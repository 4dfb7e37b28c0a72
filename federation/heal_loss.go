package federation

import (
	"bytes"
	"context"
	"errors"
	"fmt"

	pb "supercluster/api/gen/supercluster/v1"
	"supercluster/federation/feed"
	"supercluster/federation/link"
	"supercluster/internal/fault"
	"supercluster/region/record"
	"supercluster/region/state"
)

// maxLoss bounds the bytes that are held of what is lost in a channel until all of its snapshot was seen to be genuine.
const maxLoss = 256 << 20

// loss is what a channel of this region lost: kept until the digest proves the snapshot.
type loss struct {
	f       *Federation
	channel *record.Channel
	// selector is that of the channel as the peer has it.
	selector record.Selector
	ops      []record.TxnOp
	bytes    int
	unknown  unknownRecords

	kept      uint64
	keptNames []string
}

// addTo reports what was changed here since.
func (l *loss) addTo(report *pb.Healing) {
	report.Kept += l.kept
	report.KeptNames = append(report.KeptNames, l.keptNames[:min(len(l.keptNames), maxKeptNames-len(report.KeptNames))]...)
}

// restoreFrom takes a snapshot of a channel of this region from a peer, and notes each record that is lost. It may be older than what
// the peer shows only if that is wanted.
func (l *loss) restoreFrom(ctx context.Context, from source, older bool) error {
	f, c := l.f, l.channel
	from.u.mu.Lock()
	conn := from.u.conn
	from.u.mu.Unlock()
	if conn == nil {
		return fault.New(fault.Unavailable, "the link has ended")
	}
	opening, cancel := context.WithTimeout(ctx, f.cfg.Tuning.HealWithin)
	s, err := conn.Open(opening, classOf(c.Class))
	cancel()
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
	for key := []byte(nil); ; {
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
		case m.Chunk == nil || !bytes.Equal(m.Chunk.From, key):
			return fault.New(fault.Unavailable, "the peer does not give a snapshot")
		}
		for i := range m.Chunk.Items {
			digest.Add(record.Element(m.Chunk.Items[i].Key, m.Chunk.Items[i].Entry))
		}
		if err := f.pinned(func(r state.Reader) error { return l.add(r, m.Chunk) }); err != nil {
			return err
		}
		if key = m.Chunk.To; len(key) == 0 {
			return l.genuine(m.Chunk.Target, digest, from, older)
		}
	}
}

// genuine judges a whole snapshot with a digest by the head that it came with.
func (l *loss) genuine(target []byte, digest record.Digest, from source, older bool) error {
	head, err := record.DecodeFeedHead(target)
	if err != nil || head.Region != l.f.cfg.Identity.RegionID || head.Channel != l.channel.ID ||
		!l.f.book.verify(head.Region, head.Signed(), head.Signature) || head.Digest != digest {
		return fault.New(fault.Denied, "what the peer gave is not what this region signed")
	}
	if !from.at.After(head.Position) {
		return nil
	}
	been, err := l.f.been(l.channel.ID, head.Position)
	if err == nil && (been || !older) {
		err = fault.New(fault.Unavailable, "the peer shows position %d.%d and gave %d.%d",
			from.at.Incarnation, from.at.Sequence, head.Position.Incarnation, head.Position.Sequence)
	}
	return err
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
// process began is kept. What the channel had ceased to carry is not taken for deleted.
func (l *loss) judge(r state.Reader, key, encoded []byte) error {
	k, err := record.DecodeFeedKey(key)
	if err != nil {
		return nil // it can not have been written here
	}
	if encoded == nil && !l.selector.Picks(&k) {
		return nil
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
		if l.kept++; len(l.keptNames) < maxKeptNames {
			l.keptNames = append(l.keptNames, k.Name)
		}
		return nil
	}
	if l.bytes += len(op.Value) + len(key); l.bytes > maxLoss {
		return fault.New(fault.TooLarge, "more than %d bytes of channel %d are lost", maxLoss, l.channel.ID)
	}
	l.ops = append(l.ops, op)
	return nil
}

// errNotNow is that this region itself can not take now what it lost. Then it stays fenced: no other peer helps with that, and what is
// not brought back before the new incarnation begins is lost for good.
var errNotNow = errors.New("what the region lost can not be written now")

// bringBack writes what is lost.
func (l *loss) bringBack(ctx context.Context, report *pb.Healing) error {
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
		if _, err := l.f.propose(ctx, record.Op{Type: record.OpHeal, Txn: txn}); passes(err) {
			return fmt.Errorf("%w: %w", errNotNow, err)
		} else if err != nil {
			return err
		}
		report.Restored += uint64(n)
		l.ops = l.ops[n:]
	}
	return nil
}

// passes reports whether a write that failed may succeed later: the disk or a quota is full, or the log does not answer.
func passes(err error) bool {
	switch fault.KindOf(err) {
	case fault.Exhausted, fault.Busy, fault.Unavailable, fault.OutcomeUnknown, fault.Deadline, fault.Canceled:
		return true
	default: // nil, too
		return false
	}
}
