package federation

import (
	"context"
	"encoding/binary"

	"supercluster/internal/fault"
	"supercluster/region/record"
	"supercluster/region/state"
)

// Two living copies of a region may each reach other regions, and none both. Each sees only what it signed itself, until
// somebody shows it what the other did. So the leader of a region, which hears what peers have of a region, shows that region
// itself each head that it does not know: one that is newer than what it offers, and one that says something else than what came
// from it. It does so on its own link: of what it heard the other nodes of its region know nothing.

// maxShown bounds the heads that are shown in one call.
const maxShown = 1024

// contradict keeps the head of an offer if it says something else than what came of the channel: only one of both is what the
// home that is heard here signed.
func (c *connection) contradict(name channelName, o *offer, head *record.FeedHead) error {
	if name.region == c.u.peer.id {
		return nil // its own words: they are compared when it is pulled
	}
	differs := false
	if err := c.u.f.pinned(func(r state.Reader) (err error) {
		differs, err = state.Contradicts(r, head)
		return err
	}); err != nil || !differs {
		return err
	}
	c.u.f.routes.contradicts(name, head.Position, o.head)
	return nil
}

// show tells the peer which heads it signed, as others say, that it does not seem to know. It judges by them whether it is fenced.
func (c *connection) show(ctx context.Context, calls *caller, offers []offer) error {
	var question []byte
	shown := 0
	for i := range offers {
		head, err := record.DecodeFeedHead(offers[i].head)
		if err != nil || head.Region != c.u.peer.id {
			continue
		}
		for _, proof := range c.u.f.routes.unknownTo(channelName{head.Region, head.Channel}, head.Position) {
			if shown++; shown <= maxShown {
				question = append(binary.AppendUvarint(question, uint64(len(proof))), proof...)
			}
		}
	}
	if shown == 0 {
		return nil
	}
	_, err := calls.call(ctx, callShown, question)
	if fault.Is(err, fault.Unsupported) {
		return nil // an earlier version
	}
	return err
}

// answerShown looks at heads that this region is said to have signed.
func (f *Federation) answerShown(ctx context.Context, heads []byte) error {
	for shown := 0; len(heads) > 0; shown++ {
		size, n := binary.Uvarint(heads)
		if n <= 0 || size > uint64(len(heads)-n) || shown == maxShown {
			return fault.New(fault.Invalid, "a peer showed heads that do not parse, or more than %d", maxShown)
		}
		f.judge(ctx, heads[n:n+int(size)])
		heads = heads[n+int(size):]
	}
	return nil
}
