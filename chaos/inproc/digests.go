package main

import (
	"context"
	"encoding/hex"
	"fmt"
	"time"

	"supercluster/chaos/history"
	"supercluster/region/record"
	"supercluster/region/state"
)

// Digests writes down the digest of every channel at its source and where it is imported, and says which differ.
func (w *world) Digests(ctx context.Context) (problem string) {
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
		s.world.run.Log.Add(history.Line{Type: history.Digests, Region: s.name, Digest: &history.Digest{
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
