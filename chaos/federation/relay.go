package main

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"time"

	pb "supercluster/api/gen/supercluster/v1"
	"supercluster/chaos/fleet"
	"supercluster/chaos/wan"
)

const (
	relayDelay  = 20 * time.Millisecond // one way, of every line
	changeEvery = 20 * time.Millisecond
	takeoverIn  = 6 * time.Second // what docs/federation.md calls about 3 s, and as much for a machine that is busy
	steadyFor   = 8 * time.Second // a relay that took a channel over keeps it for so long, and who was killed is pulled from again
	relayKey    = "dc1/relay"
)

// relaySites are the regions of the third part: dc1 writes, dc3 reads, and the others stand between.
func relaySites() []string { return []string{"dc1", "dc2", "dc3", "dc4"} }

// relaying is the third part: regions of one server. The line between dc1 and dc3 is cut, so that what dc1 writes comes to dc3
// through one of the two others, and that one is killed again and again.
func (r *runner) relaying(ctx context.Context) error {
	w, err := network(relaySites()...)
	if err != nil {
		return err
	}
	defer w.Close()
	for i, a := range relaySites() {
		for _, b := range relaySites()[i+1:] {
			w.Both(a, b, wan.Line{Delay: relayDelay})
		}
	}
	starting, cancel := context.WithTimeout(ctx, 2*time.Minute)
	defer cancel()
	f, err := fleet.Start(starting, w, r.binary, relaySites(), 1)
	if err != nil {
		return err
	}
	defer f.Close()
	if err := f.Join(starting); err != nil {
		return err
	}
	t := &takeover{from: f.Regions[0], to: f.Regions[2]}
	writing, stop := context.WithCancel(ctx)
	defer stop()
	done := make(chan error, 1)
	go func() { done <- t.write(writing) }()
	if err := r.takeovers(ctx, w, f, t); err != nil {
		return err
	}
	stop()
	if err := <-done; err != nil {
		return err
	}
	w.Change("dc1", "dc3", func(l *wan.Line) { l.Cut = false })
	for _, region := range f.Regions {
		err := region.Equal(ctx, time.Minute)
		r.Check(err == nil, "%s is equal by digest at the end%s", region.Name, because(err))
	}
	return nil
}

// takeovers cuts the line, then kills whoever relays.
func (r *runner) takeovers(ctx context.Context, w *wan.WAN, f *fleet.Fleet, t *takeover) error {
	sleep(ctx, steadyFor)
	took, err := t.next(ctx, func() error {
		w.Change("dc1", "dc3", func(l *wan.Line) { l.Cut = true })
		return nil
	})
	if err != nil {
		return err
	}
	via, err := t.via(ctx)
	if err != nil {
		return err
	}
	r.Check(took <= takeoverIn && via != "dc1", "the line of dc1 and dc3 is cut: the next change comes through %s after %v (at most %v)", via, took.Round(time.Millisecond), takeoverIn)
	for n := range r.relays {
		sleep(ctx, steadyFor)
		relay, err := t.via(ctx)
		if err != nil {
			return err
		}
		at := slices.IndexFunc(f.Regions, func(x *fleet.Region) bool { return x.Name == relay })
		if at < 0 || relay == "dc1" {
			return fmt.Errorf("what dc1 writes comes to dc3 through %q", relay)
		}
		victim := f.Regions[at]
		took, err := t.next(ctx, victim.Servers[0].Kill)
		if err != nil {
			return fmt.Errorf("after relay %s was killed: %w: %s", relay, err, t.to.Standing(ctx))
		}
		via, err := t.via(ctx)
		if err != nil {
			return err
		}
		r.Check(took <= takeoverIn && via != relay, "relay %d, %s, is killed: the next change comes through %s after %v (at most %v)", n+1, relay, via, took.Round(time.Millisecond), takeoverIn)
		if err := victim.Restart(0); err != nil {
			return err
		}
		if err := victim.Equal(ctx, time.Minute); err != nil {
			return err
		}
	}
	return nil
}

// takeover is a stream of changes in one region, and where another has it from.
type takeover struct{ from, to *fleet.Region }

// write changes one entry again and again; its value is when that was.
func (t *takeover) write(ctx context.Context) error {
	for ctx.Err() == nil {
		_, err := pb.NewConfigServiceClient(t.from.Conns[0]).PutConfig(ctx, &pb.PutConfigRequest{Config: &pb.Config{
			Name: relayKey, Value: strconv.AppendInt(nil, time.Now().UnixNano(), 10), Format: pb.Format_FORMAT_TEXT,
		}})
		if err != nil && ctx.Err() == nil {
			return fmt.Errorf("a write in %s: %w", t.from.Name, err)
		}
		sleep(ctx, changeEvery)
	}
	return nil
}

// next gives how long after a fault, which it makes, the first change arrives that was written after it.
func (t *takeover) next(ctx context.Context, fault func() error) (time.Duration, error) {
	if err := fault(); err != nil {
		return 0, err
	}
	began := time.Now()
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	for ctx.Err() == nil {
		answer, err := pb.NewConfigServiceClient(t.to.Conns[0]).GetConfig(ctx, &pb.GetConfigRequest{
			Name: relayKey, Read: &pb.ReadOptions{Consistency: pb.Consistency_CONSISTENCY_LOCAL},
		})
		if err != nil {
			return 0, fmt.Errorf("a read in %s: %w", t.to.Name, err)
		}
		if written, err := strconv.ParseInt(string(answer.GetConfig().GetValue()), 10, 64); err != nil {
			return 0, err
		} else if written > began.UnixNano() {
			return time.Since(began), nil
		}
		sleep(ctx, changeEvery/4)
	}
	return 0, fmt.Errorf("nothing that %s wrote came to %s within a minute", t.from.Name, t.to.Name)
}

// via is the region through which the entry's channel comes.
func (t *takeover) via(ctx context.Context) (string, error) {
	answer, err := t.to.API().ListChannels(ctx, &pb.ListChannelsRequest{})
	if err != nil {
		return "", err
	}
	for _, c := range answer.GetChannels() {
		if c.GetRegion() == t.from.Name && c.GetChannel().GetClass() == "config" {
			return c.GetVia(), nil
		}
	}
	return "", fmt.Errorf("%s has no channel of %s", t.to.Name, t.from.Name)
}
