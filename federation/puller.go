package federation

import (
	"context"
	"errors"
	"sync"
	"time"

	"supercluster/federation/feed"
	"supercluster/internal/fault"
	"supercluster/region/state"
)

// puller takes one channel over.
type puller struct {
	f     *Federation
	u     *uplink
	in    *inlet
	name  channelName
	claim *claim

	chunks uint64 // of snapshots that were applied
	// Of the pull that is under way: its stamp, and whether the peer took it up.
	asked  int64
	opened bool
	answer int64 // the newest stamp that was answered
	credit allowance

	mu     sync.Mutex
	queue  []*feed.Message
	bytes  int
	due    time.Time // since when the peer is asked and nothing of the channel came; zero: it is not
	arrive chan struct{}
}

func newPuller(f *Federation, u *uplink, in *inlet, name channelName, c *claim) *puller {
	return &puller{f: f, u: u, in: in, name: name, claim: c, arrive: make(chan struct{}, 1)}
}

// offer queues a message. A peer that sends more than it was given credit for is not to be trusted with memory.
func (p *puller) offer(m *feed.Message, size int) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.bytes+size > int(p.f.cfg.Tuning.Credit)+feed.MaxMessageBytes+1<<20 {
		return fault.New(fault.Denied, "region %s sends more than it was given credit for", p.f.book.name(p.u.peer.id))
	}
	p.queue, p.bytes, p.due = append(p.queue, m), p.bytes+size, time.Time{}
	select {
	case p.arrive <- struct{}{}:
	default:
	}
	return nil
}

func (p *puller) takeAll() []*feed.Message {
	p.mu.Lock()
	defer p.mu.Unlock()
	all := p.queue
	p.queue, p.bytes = nil, 0
	return all
}

var errFenced = fault.New(fault.Unavailable, "the region is fenced")

// Waits between pulls of a channel that went wrong.
const (
	firstPullWait = 50 * time.Millisecond
	lastPullWait  = 5 * time.Second
)

// run pulls until ctx ends. What goes wrong is made up for by the next pull: it begins at what was applied.
func (p *puller) run(ctx context.Context) error {
	wait := firstPullWait
	for ctx.Err() == nil {
		began := time.Now()
		err := p.pull(ctx)
		if ctx.Err() != nil {
			break
		}
		if kind := fault.KindOf(err); kind == fault.Corrupt || p.u.ended() {
			return err
		}
		if errors.Is(err, errFenced) {
			break // it offers the channel again when it is not; meanwhile another may have what is newer
		}
		p.f.metrics.repulled(err)
		p.f.log.Debug("a channel is pulled anew", "region", p.f.book.name(p.name.region), "channel", p.name.channel,
			"via", p.f.book.name(p.u.peer.id), "reason", err)
		if time.Since(began) > lastPullWait {
			wait = firstPullWait
		}
		if !pause(ctx, wait) {
			break
		}
		wait = min(2*wait, lastPullWait)
	}
	if via, ok := p.f.routes.through(p.name); ok && via != p.u.peer.id {
		p.waits() // another peer serves the channel: this link has nothing of it to wait for
		p.u.backlog(p.name, false)
	}
	stop, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Second)
	defer cancel()
	_ = p.in.send(stop, &feed.Message{Type: feed.TypeStop, Region: p.name.region, Channel: p.name.channel}) // the end of the stream says it too
	return nil
}

// pull takes the channel over from where it stands, until something goes wrong.
func (p *puller) pull(ctx context.Context) error {
	p.takeAll()
	p.opened = false
	p.credit = allowance{whole: p.f.cfg.Tuning.Credit}
	importer := &feed.Importer{Self: p.f.cfg.Identity.RegionID, Region: p.name.region, Channel: p.name.channel, Keys: p.f.book.verify}
	var ask *feed.Message
	if err := p.f.pinned(func(r state.Reader) (err error) {
		ask, err = importer.Pull(r, p.f.ages.stamp(), p.f.cfg.Tuning.Credit)
		return err
	}); err != nil {
		return err
	}
	if ask == nil {
		return fault.New(fault.NotFound, "the region is not known any more")
	}
	p.f.routes.applied(p.name, ask.Pull.Cursor)
	p.asked = ask.Pull.Stamp
	if err := p.ask(ctx, ask); err != nil {
		return err
	}
	probe := time.NewTicker(p.f.cfg.Tuning.ProbeEvery)
	defer probe.Stop()
	for {
		select {
		case <-p.arrive:
			p.claim.falls(false)
			if err := p.apply(ctx, importer, p.takeAll()); err != nil {
				return err
			}
		case <-probe.C:
			if p.silent(time.Now()) {
				p.claim.falls(true)
			}
			m := &feed.Message{Type: feed.TypeProbe, Region: p.name.region, Channel: p.name.channel, Stamp: p.f.ages.stamp()}
			if err := p.ask(ctx, m); err != nil {
				return err
			}
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// ask sends what the peer is to answer.
func (p *puller) ask(ctx context.Context, m *feed.Message) error {
	p.mu.Lock()
	if p.due.IsZero() || m.Type == feed.TypePull {
		p.due = time.Now()
	}
	p.mu.Unlock()
	return p.in.send(ctx, m)
}

// quietProbes is after how many probes that nothing answered a peer counts as quiet: then who else has the channel may
// serve it, long before the connection is known to be dead. While something is being applied nothing is asked.
const quietProbes = 2

// silent reports whether the peer is asked and does not answer.
func (p *puller) silent(now time.Time) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return len(p.queue) == 0 && !p.due.IsZero() && now.Sub(p.due) >= quietProbes*p.f.cfg.Tuning.ProbeEvery
}

// answers leaves out what still comes of the pull before: only what follows the word that this one was taken up is its
// answer. A refusal needs no such word.
func (p *puller) answers(messages []*feed.Message) []*feed.Message {
	kept := messages[:0]
	for _, m := range messages {
		switch {
		case m.Type == feed.TypeOpened:
			p.opened = m.Stamp == p.asked
		case p.opened || m.Refuse != nil:
			kept = append(kept, m)
		}
	}
	return kept
}
