package federation

import (
	"bytes"
	"context"
	"slices"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"supercluster/federation/link"
	"supercluster/region/record"
	"supercluster/region/state"
)

// connection is one connection of an uplink.
type connection struct {
	u     *uplink
	conn  *link.Conn
	group *errgroup.Group
	ctx   context.Context

	judged map[channelName]offer // the last offer of each channel whose signatures are good
	asked  int                   // how often the peer was asked what it offers

	mu     sync.Mutex
	inlets map[link.Class]*inlet
}

// follow asks the peer again and again what it offers, and pulls what is to come from it.
func (c *connection) follow(ctx context.Context, calls *caller) error {
	f := c.u.f
	for {
		wanted := f.routes.wants() // before they are asked: a channel may fall quiet when it has been looked at
		answer, err := c.askOffers(ctx, calls)
		if err != nil {
			return err
		}
		offers, err := decodeOffers(answer)
		if err != nil {
			return err
		}
		c.expect(offers)
		for i := range offers {
			if err := c.consider(ctx, &offers[i]); err != nil {
				return err
			}
		}
		if err := c.withheld(offers); err != nil {
			return err
		}
		if err := c.show(ctx, calls, offers); err != nil {
			return err
		}
		if err := c.askKept(ctx, calls, offers); err != nil {
			return err
		}
		if err := c.askLeader(ctx, calls); err != nil {
			return err
		}
		if err := f.untilOffers(ctx, wanted); err != nil {
			return err
		}
	}
}

// askOffers asks for the clock of the peer and for what it offers, at once: after a connection is made, each round trip is one in which
// nothing comes.
func (c *connection) askOffers(ctx context.Context, calls *caller) (answer []byte, err error) {
	var g errgroup.Group
	g.Go(func() error { return calls.askClock(ctx) })
	g.Go(func() (err error) {
		answer, err = calls.call(ctx, callOffers, c.wish())
		return err
	})
	return answer, g.Wait()
}

// untilOffers waits until peers are to be asked again what they offer: sooner when a channel falls quiet, or fell while they were asked.
func (f *Federation) untilOffers(ctx context.Context, wanted <-chan struct{}) error {
	t := time.NewTimer(f.cfg.Tuning.OfferEvery)
	defer t.Stop()
	select {
	case <-t.C:
	case <-wanted:
	case <-ctx.Done():
	}
	return ctx.Err()
}

// withheld looks after the channels of the peer that it does not offer. What it keeps from this region, or of which nothing is here,
// does not make the rest old. What is here of another one ages, since nobody brings it up to date: the peer may have begun from a copy
// of its data that is older than the channel. A region that offers nothing is fenced, or not ready.
func (c *connection) withheld(offers []offer) error {
	f, p := c.u.f, c.u.peer
	offered := offeredBy(p.id, offers)
	if len(offered) == 0 {
		return nil
	}
	var unoffered []channelName
	if err := f.pinned(func(r state.Reader) error {
		return f.eachHeld(r, p.alias, func(channel uint32, _ *record.Channel) {
			if !offered[channel] {
				unoffered = append(unoffered, channelName{p.id, channel})
			}
		})
	}); err != nil {
		return err
	}
	f.ages.expect(unoffered...)
	f.ages.forget(func(n channelName) bool {
		return n.region == p.id && !offered[n.channel] && !slices.Contains(unoffered, n)
	})
	return nil
}

// offeredBy gives the channels of a region among some offers.
func offeredBy(region [16]byte, offers []offer) map[uint32]bool {
	offered := map[uint32]bool{}
	for i := range offers {
		if head, err := record.DecodeFeedHead(offers[i].head); err == nil && head.Region == region {
			offered[head.Channel] = true
		}
	}
	return offered
}

// wish asks for the channels of regions that do not serve them themselves, and for what is newer than anybody showed. In
// turns it asks for those of every region: of two living copies of a region in the same incarnation this region may hear
// one and the peer the other, and only who hears of both can show to one what the other signed.
func (c *connection) wish() []byte {
	wish := []byte{relayWish}
	peers, _ := c.u.f.book.list()
	c.asked++
	for i, p := range peers {
		if p.id != c.u.peer.id {
			r := c.u.f.routes
			wish = appendWish(wish, p.id, r.incarnation(p.id), !r.direct(p.id) || i == c.asked%len(peers))
		}
	}
	return wish
}

// expect counts the channels that a peer really has into the ages of their regions, before any of them is pulled.
func (c *connection) expect(offers []offer) {
	var names []channelName
	for i := range offers {
		if name, ok := c.counts(&offers[i]); ok {
			names = append(names, name)
		}
	}
	c.u.f.ages.expect(names...)
}

// counts names the channel of an offer, if it is one of another region that is a peer.
func (c *connection) counts(o *offer) (channelName, bool) {
	head, err := record.DecodeFeedHead(o.head)
	if err != nil || head.Region == c.u.f.cfg.Identity.RegionID || c.u.f.book.find(head.Region) == nil {
		return channelName{}, false
	}
	name := channelName{head.Region, head.Channel}
	doc, err := record.DecodeChannelDocument(o.document)
	return name, err == nil && c.genuine(name, o, &head, &doc)
}

// consider looks at one channel that the peer has: it may show that this region is fenced, or be one to pull from here.
func (c *connection) consider(ctx context.Context, o *offer) error {
	f := c.u.f
	head, err := record.DecodeFeedHead(o.head)
	if err != nil {
		return err
	}
	if head.Region == f.cfg.Identity.RegionID {
		f.judge(ctx, o.head)
		return nil
	}
	home := f.book.find(head.Region)
	doc, err := record.DecodeChannelDocument(o.document)
	name := channelName{head.Region, head.Channel}
	if home == nil || err != nil || !c.genuine(name, o, &head, &doc) {
		return nil // not of a peer, or not by it
	}
	if err := c.contradict(name, o, &head); err != nil {
		return err
	}
	f.routes.head(name, head.Position, o.head)
	c.u.watch(name)
	claim, ok := f.routes.claim(name, c.u.peer.id, head.Position, f.cfg.Tuning.RelayAfter, time.Now())
	if !ok {
		return nil
	}
	in, err := c.inlet(classOf(doc.Channel.Class))
	if err != nil {
		return err
	}
	p := newPuller(f, c.u, in, name, claim)
	in.add(name, p)
	c.group.Go(func() error {
		defer claim.release()
		defer in.remove(name, p)
		return p.run(claim.context(c.ctx))
	})
	return nil
}

// genuine judges the signatures of an offer; one that was judged before is not judged again.
func (c *connection) genuine(name channelName, o *offer, head *record.FeedHead, doc *record.ChannelDocument) bool {
	last := c.judged[name]
	verify := c.u.f.book.verify
	if !bytes.Equal(last.document, o.document) {
		if doc.Region != name.region || doc.Channel.ID != name.channel || !verify(doc.Region, doc.Signed(), doc.Signature) {
			return false
		}
		last.document = bytes.Clone(o.document)
	}
	if !bytes.Equal(last.head, o.head) {
		if !verify(head.Region, head.Signed(), head.Signature) {
			return false
		}
		last.head = bytes.Clone(o.head)
	}
	c.judged[name] = last
	return true
}

// classOf gives the class of streams for a class of channels; of one that a later version has, that of config.
func classOf(c record.Class) link.Class {
	if c >= record.ClassControl && c <= record.ClassSummaries {
		return link.Class(c)
	}
	return link.ClassConfig
}
