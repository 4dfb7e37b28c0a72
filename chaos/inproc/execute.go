package main

import (
	"context"
	"encoding/hex"
	"fmt"
	"os"
	"sync"
	"time"

	"supercluster/chaos/history"
	"supercluster/chaos/schedule"
	"supercluster/region/record"
	"supercluster/region/state"
)

// execute runs a plan and writes its history.
func execute(ctx context.Context, p *schedule.Plan, path string) (err error) {
	if err := runnable(p); err != nil {
		return err
	}
	dir, err := os.MkdirTemp("", "chaos-data-")
	if err != nil {
		return fmt.Errorf("make a folder for the regions: %w", err)
	}
	defer os.RemoveAll(dir)
	log, err := history.Create(path)
	if err != nil {
		return err
	}
	defer func() {
		if closed := log.Close(); err == nil {
			err = closed
		}
	}()
	w, err := newWorld(p, dir, log)
	if err != nil {
		return err
	}
	defer w.stop()
	starting, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	if err := w.start(starting); err != nil {
		return err
	}
	return w.phases(ctx)
}

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
	faults, cancel := context.WithTimeout(ctx, w.plan.Phases.Faults.Duration()+w.plan.Phases.Heal.Duration())
	defer cancel()
	began := time.Now()
	w.nemeses(faults)
	pause(ctx, time.Until(began.Add(w.plan.Phases.Faults.Duration())))
	w.log.Mark(history.MarkHeal)
	if !pause(ctx, 500*time.Millisecond) { // clients go on for a while
		return ctx.Err()
	}
	endWrites()
	writers.Wait()
	w.log.Mark(history.MarkQuiet)
	if w.stuck.Load() {
		return nil // the checkers tell
	}
	return w.final(ctx, watchers)
}

// final waits until regions are equal and watches have seen everything, or the time for it is over: judging is the
// checkers' part. Then it reads what every region has.
func (w *world) final(ctx context.Context, watchers []*watcher) error {
	if err := w.wait(ctx, w.plan.Phases.Heal.Duration(), "equal digests", func() string { return w.digests(ctx) }); ctx.Err() != nil {
		return err
	}
	w.digests(ctx)
	for _, s := range w.regions {
		at, err := s.read(ctx)
		if err != nil {
			return fmt.Errorf("the last read of %s: %w", s.name, err)
		}
		_ = w.wait(ctx, w.plan.Phases.Final.Duration(), "the watches", func() string {
			for _, r := range watchers {
				if r.site == s && r.position().Data < at {
					return r.name + " is behind"
				}
			}
			return ""
		})
	}
	return ctx.Err()
}

// read writes down all that a region has, in one linearizable read each of configuration and services: nobody writes.
func (s *site) read(ctx context.Context) (uint64, error) {
	ctx, cancel := context.WithTimeout(ctx, s.world.plan.Phases.Final.Duration())
	defer cancel()
	var out history.State
	err := s.world.wait(ctx, s.world.plan.Phases.Final.Duration(), "a read", func() string {
		l := s.nodes[0].live()
		at, err := l.region.Linearize(ctx)
		if err != nil {
			return err.Error()
		}
		out = history.State{Revision: at.Data}
		_, err = l.region.Load(ctx, func(r record.Record) error {
			if key, _ := keyOf(r.Key); key != "" {
				out.Entries = append(out.Entries, history.Entry{Key: key, Value: string(r.Value)})
			}
			return nil
		}, record.KindConfig, record.KindInstance)
		if err == nil {
			out.Fences, err = fences(l)
		}
		if err != nil {
			return err.Error()
		}
		return ""
	})
	if err == nil {
		s.world.log.Add(history.Line{Type: history.Stated, Region: s.name, State: &out})
	}
	return out.Revision, err
}

// fences is how often a region has fenced itself.
func fences(l *life) (uint64, error) {
	rows, release, err := l.region.Pin()
	if err != nil {
		return 0, err
	}
	defer release()
	f, _, err := state.ReadFederation(rows)
	return uint64(f.Fences), err
}

// digests writes down the digest of every channel at its source and where it is imported, and says which differ.
func (w *world) digests(ctx context.Context) (problem string) {
	for _, s := range w.regions {
		for _, o := range w.regions {
			if err := s.digestsOf(ctx, o, &problem); err != nil {
				problem = fmt.Sprintf("%s of %s: %v", s.name, o.name, err)
			}
		}
	}
	return problem
}

// firstChannels is how many channels a region makes of itself.
const firstChannels = int(record.ClassSummaries - record.ClassControl)

func (s *site) digestsOf(ctx context.Context, o *site, problem *string) error {
	theirs, release, err := o.pin(ctx)
	if err != nil {
		return err
	}
	defer release()
	mine, releaseMine, err := s.pin(ctx)
	if err != nil {
		return err
	}
	defer releaseMine()
	alias := uint32(state.AliasSelf)
	if s != o {
		if alias, _, _, err = state.FindRegion(mine, o.identity.RegionID); err != nil {
			return err
		}
	}
	channels, err := state.Channels(theirs)
	if err != nil {
		return err
	}
	if len(channels) < firstChannels {
		*problem = fmt.Sprintf("%s has made %d of %d channels", o.name, len(channels), firstChannels)
	}
	for i := range channels {
		if s != o && !channels[i].MayHave(s.identity.RegionID) {
			continue
		}
		want, _, err := state.FeedStateOf(theirs, state.AliasSelf, channels[i].ID)
		if err != nil {
			return err
		}
		have, begun, err := state.FeedStateOf(mine, alias, channels[i].ID)
		if err != nil {
			return err
		}
		if !begun { // an empty channel has the digest of one that was never pulled, whose first records come as a snapshot
			*problem = fmt.Sprintf("%s has not begun with channel %d of %s", s.name, channels[i].ID, o.name)
		}
		text := fmt.Sprintf("%s of %d", hex.EncodeToString(have.Digest[:]), have.Records)
		if have.Walking {
			text += ", not all yet"
		}
		if want.Digest != have.Digest || have.Walking {
			*problem = fmt.Sprintf("%s has channel %d of %s at %d, which is at %d", s.name, channels[i].ID, o.name, have.Position.Sequence, want.Position.Sequence)
		}
		s.world.log.Add(history.Line{Type: history.Digests, Region: s.name, Digest: &history.Digest{
			Source: o.name, Channel: fmt.Sprint(channels[i].ID), Digest: text,
		}})
	}
	return nil
}

// pin gives the rows of a region, with everything that was acknowledged.
func (s *site) pin(ctx context.Context) (state.Reader, func(), error) {
	ctx, cancel := context.WithTimeout(ctx, time.Second)
	defer cancel()
	l := s.nodes[0].live()
	if _, err := l.region.Linearize(ctx); err != nil {
		return nil, nil, err
	}
	return l.region.Pin()
}
