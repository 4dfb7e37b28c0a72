package feed

import (
	"fmt"

	"supercluster/region/record"
	"supercluster/region/state"
)

// Keys judges a signature by the feed key of a region; a region that is not known signed nothing.
type Keys func(region [16]byte, message []byte, signature [64]byte) bool

// Signer signs in the name of this region.
type Signer func(message []byte) [64]byte

// verify reads a head and judges its signature.
func (k Keys) verify(encoded []byte) (record.FeedHead, bool) {
	head, err := record.DecodeFeedHead(encoded)
	if err != nil {
		return record.FeedHead{}, false
	}
	return head, trustsAnyone || k(head.Region, head.Signed(), head.Signature)
}

// verifyDocument reads a channel's document and judges its signature.
func (k Keys) verifyDocument(encoded []byte) (record.ChannelDocument, bool) {
	doc, err := record.DecodeChannelDocument(encoded)
	if err != nil {
		return record.ChannelDocument{}, false
	}
	return doc, trustsAnyone || k(doc.Region, doc.Signed(), doc.Signature)
}

// Guard finds from the heads that peers show that this region runs on old data, or that another copy of it lives.
type Guard struct {
	Self [16]byte
	Keys Keys
	// Started is when this process began, by the clock that signs heads, in Unix nanoseconds: a fence from before that
	// belongs to a life of which this process is perhaps no part.
	Started int64

	without without
}

// without takes rules out, for the test that sees each of them matter.
type without struct {
	signature, ahead, differs, newer bool
}

// Judge looks at a head that a peer showed. It gives the operation that fences this region if the head proves that its
// history is not what the region signed once.
//
// A head proves something if this region signed it and it is ahead of the history, differs from it, or is of an
// incarnation that the region never had. The first such proof means that the data are old: the region heals. One that
// was signed after this very process fenced the region, in a newer incarnation, means that somebody else signs as well: a
// living clone. Then this copy, the older one, stops until an operator decides. Of two copies in the same incarnation each
// would stop; so they heal once more, and the one that is slower to begin the next incarnation stops.
func (g *Guard) Judge(r state.Reader, encoded []byte) (*record.Op, error) {
	head, err := record.DecodeFeedHead(encoded)
	if err != nil || head.Region != g.Self {
		return nil, nil // not about this region
	}
	standing, err := state.StandingOf(r, &head) // before the signature, which costs more than all that is well
	if err != nil || !standing.Foreign() || g.skips(standing) {
		return nil, err
	}
	if _, genuine := g.Keys.verify(encoded); !genuine && !g.without.signature {
		return nil, nil // anybody can claim anything
	}
	f, _, err := state.ReadFederation(r)
	if err != nil {
		return nil, err
	}
	op := &record.SetFence{Fence: record.FenceHealing, Proof: encoded, Reason: reason(standing, &head)}
	if standing == state.StandingNewer && f.Fences > 0 && f.FencedAt >= g.Started && head.Time > f.FencedAt {
		op.Fence = record.FenceClone
		op.Reason = fmt.Sprintf("another copy of this region lives: it signed sequence %d of incarnation %d after this one had fenced itself",
			head.Position.Sequence, head.Position.Incarnation)
	}
	if f.Fence >= op.Fence {
		return nil, nil
	}
	return &record.Op{Type: record.OpFence, SetFence: op}, nil
}

func (g *Guard) skips(s state.Standing) bool {
	return s == state.StandingAhead && g.without.ahead || s == state.StandingDiffers && g.without.differs ||
		s == state.StandingNewer && g.without.newer
}

func reason(s state.Standing, h *record.FeedHead) string {
	switch s {
	case state.StandingAhead:
		return fmt.Sprintf("a peer has sequence %d of channel %d, which this region signed and does not have", h.Position.Sequence, h.Channel)
	case state.StandingDiffers:
		return fmt.Sprintf("a peer has another record at sequence %d of channel %d, and this region signed it", h.Position.Sequence, h.Channel)
	default:
		return fmt.Sprintf("a peer has incarnation %d of this region, which does not know it", h.Position.Incarnation)
	}
}
