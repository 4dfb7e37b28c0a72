package main

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"time"

	"google.golang.org/protobuf/types/known/durationpb"

	pb "supercluster/api/gen/supercluster/v1"
	"supercluster/api/status"
	"supercluster/chaos/history"
	"supercluster/internal/fault"
)

const (
	nemesesFor = 2 * time.Minute // more than their plan says: servers start again meanwhile
	calm       = time.Second     // of writes after the last fault
	verifyFor  = 2 * time.Second // one comparison with the sources
)

// phases are warm, faults, heal and final.
func (w *world) phases(ctx context.Context) error {
	watchers, err := w.watches(ctx)
	if err != nil {
		return err
	}
	watching, endWatches := context.WithCancel(ctx)
	writing, endWrites := context.WithCancel(ctx)
	var writers, readers sync.WaitGroup
	defer readers.Wait()
	defer endWatches()
	defer writers.Wait()
	defer endWrites()
	for _, r := range watchers {
		readers.Go(func() { r.run(watching) })
	}
	writers.Go(func() { w.clients(writing) })
	if !pause(ctx, w.plan.Phases.Warm.Duration()) {
		return ctx.Err()
	}
	w.log.Mark(history.MarkFaults)
	faults, cancel := context.WithTimeout(ctx, w.plan.Phases.Faults.Duration()+nemesesFor)
	defer cancel()
	w.nemeses(faults, watchers)
	w.log.Mark(history.MarkHeal)
	if !pause(ctx, calm) {
		return ctx.Err()
	}
	endWrites()
	writers.Wait()
	w.log.Mark(history.MarkQuiet)
	return w.final(ctx, watchers)
}

// final waits until regions are equal and watches have seen everything, or the time for it is over: judging is the
// checkers' part. Then it reads what every region has.
func (w *world) final(ctx context.Context, watchers []*watcher) error {
	if err := w.wait(ctx, w.plan.Phases.Heal.Duration()+verifyFor, "equal digests", w.digests); ctx.Err() != nil {
		return err
	}
	for _, s := range w.sites {
		at, err := s.read(ctx)
		if err != nil {
			return fmt.Errorf("the last read of %s: %w", s.Name, err)
		}
		_ = w.seen(ctx, watchers, s, at)
	}
	return ctx.Err()
}

// seen waits until the watches of a region are at a revision.
func (w *world) seen(ctx context.Context, watchers []*watcher, s *site, at uint64) error {
	return w.wait(ctx, w.plan.Phases.Final.Duration(), "the watches of "+s.Name, func(context.Context) string {
		for _, r := range watchers {
			if r.site == s && r.position() < at {
				return fmt.Sprintf("%s is at %d of %d", r.name, r.position(), at)
			}
		}
		return ""
	})
}

// read writes down all that clients wrote and a region has: nobody writes.
func (s *site) read(ctx context.Context) (uint64, error) {
	var out *history.State
	err := s.world.wait(ctx, s.world.plan.Phases.Final.Duration(), "a read", func(ctx context.Context) string {
		var err error
		if out, err = s.state(ctx); err != nil {
			return err.Error()
		}
		return ""
	})
	if err != nil {
		return 0, err
	}
	s.world.log.Add(history.Line{Type: history.Stated, Region: s.Name, State: out})
	return out.Revision, nil
}

func (s *site) state(ctx context.Context) (*history.State, error) {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	configs, err := pb.NewConfigServiceClient(s.Conns[0]).ListConfigs(ctx, &pb.ListConfigsRequest{PageSize: 5000, Read: linearizable})
	if err != nil {
		return nil, err
	}
	out := &history.State{Revision: configs.GetHeader().GetRevision()}
	for _, e := range configs.GetConfigs() {
		if key := configKey + e.GetName(); s.world.makerOf(key) != "" {
			out.Entries = append(out.Entries, history.Entry{Key: key, Value: string(e.GetValue())})
		}
	}
	for _, other := range s.world.sites {
		answer, err := pb.NewRegistryServiceClient(s.Conns[0]).ListInstances(ctx, &pb.ListInstancesRequest{Service: other.Name + "-web", PageSize: 5000, Read: linearizable})
		if err != nil && !fault.Is(status.FromGRPC(err), fault.NotFound) { // a service without an instance is none
			return nil, err
		}
		for _, i := range answer.GetInstances() {
			out.Entries = append(out.Entries, history.Entry{Key: serviceKey + i.GetService() + "/" + i.GetId(), Value: i.GetMetadata()[valueOf]})
		}
	}
	return out, nil
}

// digests writes down the digest of every channel at its source and where it is imported, and says which differ.
func (w *world) digests(ctx context.Context) (problem string) {
	own := map[string]string{}
	for _, s := range w.sites {
		if err := s.ownDigests(ctx, own); err != nil {
			return err.Error()
		}
	}
	for _, s := range w.sites {
		p, err := s.importedDigests(ctx, own)
		if err != nil {
			p = err.Error()
		}
		if p != "" {
			problem = p
		}
	}
	return problem
}

func (s *site) ownDigests(ctx context.Context, own map[string]string) error {
	ctx, cancel := context.WithTimeout(ctx, askFor)
	defer cancel()
	answer, err := s.API().ListChannels(ctx, &pb.ListChannelsRequest{})
	for _, c := range answer.GetChannels() {
		if c.GetOwn() {
			text := digestText(c.GetDigest(), c.GetRecords())
			own[channelOf(s.Name, c.GetChannel().GetId())] = text
			s.digest(s.Name, c.GetChannel().GetId(), text)
		}
	}
	return err
}

// importedDigests compares what a region has with what its sources signed, which costs it a read of all of it.
func (s *site) importedDigests(ctx context.Context, own map[string]string) (problem string, err error) {
	ctx, cancel := context.WithTimeout(ctx, 3*verifyFor)
	defer cancel()
	answer, err := s.API().Verify(ctx, &pb.VerifyRequest{Timeout: durationpb.New(verifyFor)})
	if err == nil && len(answer.GetResults()) == 0 {
		problem = s.Name + " imports nothing"
	}
	for _, v := range answer.GetResults() {
		text := digestText(v.GetDigest(), v.GetRecords())
		if !v.GetEqual() {
			text = "not equal: " + v.GetProblem()
		}
		if text != own[channelOf(v.GetRegion(), v.GetChannel())] {
			problem = fmt.Sprintf("channel %s of %s in %s: %s", v.GetClass(), v.GetRegion(), s.Name, text)
		}
		s.imported(v, text, own)
	}
	return problem, err
}

// imported writes down what a region has of a channel; where its source was not heard, of all of its channels.
func (s *site) imported(v *pb.VerifyResult, text string, own map[string]string) {
	if v.GetChannel() != 0 {
		s.digest(v.GetRegion(), v.GetChannel(), text)
		return
	}
	for name := range own {
		if region, id, _ := strings.Cut(name, " "); region == v.GetRegion() {
			s.digestOf(region, id, text)
		}
	}
}

func channelOf(region string, id uint32) string { return fmt.Sprintf("%s %d", region, id) }

func digestText(digest string, records uint64) string {
	return fmt.Sprintf("%s of %d", digest, records)
}

func (s *site) digest(source string, channel uint32, text string) {
	s.digestOf(source, fmt.Sprint(channel), text)
}

func (s *site) digestOf(source, channel, text string) {
	s.world.log.Add(history.Line{Type: history.Digests, Region: s.Name, Digest: &history.Digest{Source: source, Channel: channel, Digest: text}})
}
