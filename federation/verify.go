package federation

import (
	"context"
	"encoding/hex"
	"fmt"
	"time"

	pb "supercluster/api/gen/supercluster/v1"
	"supercluster/internal/fault"
	"supercluster/region/record"
	"supercluster/region/state"
)

// Verify compares every imported channel with what its home says of it at the same position: the digest that the home
// signed, the digest that is kept here, and that of the records that are here. It reads all of them, so it is one at a time:
// who may read may ask for it.
func (f *Federation) Verify(ctx context.Context, timeout time.Duration) (*pb.VerifyResponse, error) {
	if timeout <= 0 {
		timeout = callTimeout
	}
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	select {
	case f.verifying <- struct{}{}:
		defer func() { <-f.verifying }()
	case <-ctx.Done():
		return nil, fault.Wrap(fault.Busy, ctx.Err(), "this node verifies for somebody else").WithHint("try again in a moment")
	}
	select {
	case <-f.book.read:
	case <-ctx.Done(): // no peer is known yet, which is not that there is none
		return nil, fault.Wrap(fault.Unavailable, ctx.Err(), "this node does not know the regions yet").WithHint("try again in a moment")
	}
	out := &pb.VerifyResponse{Equal: true}
	known, _ := f.book.list()
	for _, p := range known {
		results := f.verifyPeer(ctx, p)
		for _, r := range results {
			out.Equal = out.Equal && r.GetEqual()
		}
		out.Results = append(out.Results, results...)
	}
	return out, nil
}

func (f *Federation) verifyPeer(ctx context.Context, p *peer) []*pb.VerifyResult {
	fail := func(problem string) []*pb.VerifyResult {
		return []*pb.VerifyResult{{Region: f.book.name(p.id), Problem: problem}}
	}
	body, err := f.ask(ctx, p.id, callOffers)
	if err != nil {
		return fail("the region was not reached: " + err.Error())
	}
	offers, err := decodeOffers(body)
	if err != nil {
		return fail(err.Error())
	}
	var results []*pb.VerifyResult
	for i := range offers {
		head, err := record.DecodeFeedHead(offers[i].head)
		doc, err2 := record.DecodeChannelDocument(offers[i].document)
		if err != nil || err2 != nil || head.Region != p.id || !f.book.verify(p.id, head.Signed(), head.Signature) {
			continue // of another region, which is asked itself
		}
		results = append(results, f.verifyChannel(ctx, p, &head, &doc.Channel))
	}
	if len(results) == 0 {
		return fail("the region offers no channel to this one")
	}
	return append(results, f.verifyUnoffered(p, offeredBy(p.id, offers))...)
}

// verifyUnoffered finds the channels that are here of a peer, and that it does not offer although it did not keep them from this
// region: nobody brings them up to date, and nothing tells what of them is wrong.
func (f *Federation) verifyUnoffered(p *peer, offered map[uint32]bool) (results []*pb.VerifyResult) {
	err := f.pinned(func(r state.Reader) error {
		return f.eachHeld(r, p.alias, func(channel uint32, doc *record.Channel) {
			if !offered[channel] {
				results = append(results, &pb.VerifyResult{
					Region: f.book.name(p.id), Channel: channel, Class: className(doc.Class), Problem: unofferedProblem(doc),
				})
			}
		})
	})
	if err != nil {
		return []*pb.VerifyResult{{Region: f.book.name(p.id), Problem: err.Error()}}
	}
	return results
}

func unofferedProblem(doc *record.Channel) string {
	return fmt.Sprintf("its home does not offer channel %q: run it again in a moment, in case it was just taken back; if it stays, the home began from data "+
		"older than the channel (`supercluster federation status` there): make it anew there with `supercluster federation channel put %s --class %s`",
		doc.Name, doc.Name, className(doc.Class))
}

func (f *Federation) verifyChannel(ctx context.Context, p *peer, head *record.FeedHead, doc *record.Channel) *pb.VerifyResult {
	out := &pb.VerifyResult{Region: f.book.name(p.id), Channel: doc.ID, Class: className(doc.Class), Sequence: head.Position.Sequence}
	for {
		changed := f.cfg.Store.Changed()
		done := false
		err := f.pinned(func(r state.Reader) (err error) {
			done, err = f.compareChannel(r, p, head, out)
			return err
		})
		if err != nil {
			out.Problem = err.Error()
			return out
		}
		if done {
			return out
		}
		select {
		case <-changed:
		case <-ctx.Done():
			out.Problem = "it did not reach the position of its home in time"
			return out
		}
	}
}

// compareChannel compares a channel with its home's head; false: it is not there yet.
func (f *Federation) compareChannel(r state.Reader, p *peer, head *record.FeedHead, out *pb.VerifyResult) (bool, error) {
	s, _, err := state.FeedStateOf(r, p.alias, head.Channel)
	if err != nil {
		return false, err
	}
	if head.Position.After(s.Position) {
		return false, nil
	}
	if _, resync, err := state.ReadResync(r, p.alias, head.Channel); err != nil || resync {
		return false, err
	}
	digest, known, err := state.FeedDigestAt(r, p.alias, head.Channel, &s, head.Position)
	if err != nil {
		return false, err
	}
	content, records, err := contentDigest(r, p.alias, head.Channel)
	if err != nil {
		return false, err
	}
	out.Records, out.Digest = records, hex.EncodeToString(content[:])
	switch {
	case !known:
		out.Problem = "it moved on while it was compared; run it again"
	case digest != head.Digest:
		out.Problem = "its digest is not the one that its home signed"
	case content != s.Digest || records != s.Records:
		out.Problem = "its records are not those of its digest"
	default:
		out.Equal = true
	}
	return true, nil
}

// contentDigest adds up the records of a channel themselves.
func contentDigest(r state.Reader, alias, channel uint32) (sum record.Digest, records uint64, err error) {
	for from := []byte(nil); ; {
		items, next, err := state.FeedContent(r, alias, channel, from, 1<<20)
		if err != nil {
			return sum, 0, err
		}
		for i := range items {
			sum.Add(record.Element(items[i].Key, items[i].Entry))
		}
		records += uint64(len(items))
		if from = next; next == nil {
			return sum, records, nil
		}
	}
}
