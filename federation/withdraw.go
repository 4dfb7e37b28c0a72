package federation

import (
	"context"
	"encoding/binary"

	"supercluster/internal/fault"
	"supercluster/region/record"
	"supercluster/region/state"
)

// A region that is taken out of the audience of a channel is offered it no more, as it is by a region that is away or not
// ready. So it asks whether a channel that it has, and is not offered, is kept from it: only a document of the channel that
// its home signed, later than the one it has and without it in the audience, has it withdraw what came. The home answers, or a
// relay that serves in its place; until one does, what is here stays and ages.

// maxKept bounds the channels that are asked after at once.
const maxKept = 1024

// heldChannel is a channel that this region has: the question is region 16, channel, generation; the answer documents, each after
// its size.
type heldChannel struct {
	name       channelName
	generation uint64
}

func appendHeld(dst []byte, h heldChannel) []byte {
	dst = binary.AppendUvarint(append(dst, h.name.region[:]...), uint64(h.name.channel))
	return binary.AppendUvarint(dst, h.generation)
}

func decodeHeld(b []byte) (all []heldChannel, err error) {
	for len(b) > 0 {
		var h heldChannel
		if len(b) < len(h.name.region) || len(all) == maxKept {
			return nil, fault.New(fault.Invalid, "a peer asked after channels in a form that does not parse, or after more than %d", maxKept)
		}
		b = b[copy(h.name.region[:], b):]
		channel, n := binary.Uvarint(b)
		if n <= 0 || channel > 1<<32-1 {
			return nil, fault.New(fault.Invalid, "a peer asked after a channel that is none")
		}
		generation, k := binary.Uvarint(b[n:])
		if k <= 0 {
			return nil, fault.New(fault.Invalid, "a peer asked after a channel without its generation")
		}
		h.name.channel, h.generation = uint32(channel), generation
		all, b = append(all, h), b[n+k:]
	}
	return all, nil
}

// askKept asks the peer after channels that are here and that it does not offer, and gives up those that are kept from this
// region.
func (c *connection) askKept(ctx context.Context, calls *caller, offers []offer) error {
	asked, err := c.unoffered(offers)
	if err != nil || len(asked) == 0 {
		return err
	}
	var question []byte
	for _, h := range asked {
		question = appendHeld(question, h)
	}
	answer, err := calls.call(ctx, callKept, question)
	if fault.Is(err, fault.Unsupported) {
		return nil // an earlier version
	}
	for err == nil && len(answer) > 0 {
		size, n := binary.Uvarint(answer)
		if n <= 0 || size > uint64(len(answer)-n) {
			return fault.New(fault.Invalid, "a peer sent documents that do not parse")
		}
		err = c.withdraw(ctx, asked, answer[n:n+int(size)])
		answer = answer[n+int(size):]
	}
	return err
}

// unoffered lists the channels that are here and were not offered: those of the peer, and of regions that have no link of
// their own.
func (c *connection) unoffered(offers []offer) (all []heldChannel, err error) {
	f := c.u.f
	offered := map[channelName]bool{}
	for i := range offers {
		if head, err := record.DecodeFeedHead(offers[i].head); err == nil {
			offered[channelName{head.Region, head.Channel}] = true
		}
	}
	peers, _ := f.book.list()
	err = f.pinned(func(r state.Reader) error {
		for _, p := range peers {
			if p.id != c.u.peer.id && f.routes.direct(p.id) {
				continue
			}
			if err := f.eachHeld(r, p.alias, func(channel uint32, doc *record.Channel) {
				if name := (channelName{p.id, channel}); !offered[name] && len(all) < maxKept {
					all = append(all, heldChannel{name, doc.Generation})
				}
			}); err != nil {
				return err
			}
		}
		return nil
	})
	return all, err
}

// eachHeld calls fn with the channels of a region that are here and that this region may have by the document that came last.
func (f *Federation) eachHeld(r state.Reader, alias uint32, fn func(channel uint32, doc *record.Channel)) error {
	return state.EachFeedState(r, alias, func(channel uint32, s *record.FeedState) error {
		if doc, err := record.DecodeChannelDocument(s.Document); err == nil && doc.Channel.MayHave(f.cfg.Identity.RegionID) {
			fn(channel, &doc.Channel)
		}
		return nil
	})
}

// withdraw gives up a channel if its home says so. What is here of it goes with the next duties.
func (c *connection) withdraw(ctx context.Context, asked []heldChannel, document []byte) error {
	f := c.u.f
	doc, err := record.DecodeChannelDocument(document)
	if err != nil || doc.Channel.MayHave(f.cfg.Identity.RegionID) || !f.book.verify(doc.Region, doc.Signed(), doc.Signature) {
		return nil // not by its home, or not about this region
	}
	name := channelName{doc.Region, doc.Channel.ID}
	for _, h := range asked {
		if h.name != name || doc.Channel.Generation <= h.generation {
			continue
		}
		_, err := f.propose(ctx, record.Op{Type: record.OpWithdraw, Withdraw: &record.Withdraw{
			RegionID: doc.Region, Channel: doc.Channel.ID, Document: document,
		}})
		if err != nil {
			if stale(err) {
				return nil // it came by another link meanwhile
			}
			return err
		}
		f.ages.forget(func(n channelName) bool { return n == name })
		c.u.backlog(name, false)
		f.log.Warn("a channel is kept from this region by its home now; what was here of it goes", "region", f.book.name(name.region),
			"channel", name.channel, "class", className(doc.Channel.Class))
	}
	return nil
}

// answerKept gives the documents of channels that a peer has and may have no more.
func (f *Federation) answerKept(peer [16]byte, question []byte) (b []byte, err error) {
	asked, err := decodeHeld(question)
	if err != nil {
		return nil, err
	}
	err = f.pinned(func(r state.Reader) error {
		for _, h := range asked {
			document, err := f.server.Kept(r, peer, h.name.region, h.name.channel, h.generation)
			if err != nil {
				return err
			}
			if document != nil {
				b = append(binary.AppendUvarint(b, uint64(len(document))), document...)
			}
		}
		return nil
	})
	return b, err
}
