package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"supercluster/chaos/drive"
	"supercluster/chaos/schedule"
)

const (
	backFor   = 40 * time.Second      // until servers that started again answer
	maxText   = 400                   // of an error in the evidence
	pollEvery = 20 * time.Millisecond // how often what is waited for is looked at
)

// strikes do one nemesis each, from its start to its end, and give the evidence that it took effect.
var strikes = map[string]func(*world, context.Context, *schedule.Nemesis) (string, error){
	kill: (*world).kill, killAll: (*world).killAll, killRelay: (*world).relayKilled, stop: (*world).stop,
	isolate: (*world).insideCut, mute: (*world).insideCut, deafen: (*world).insideCut,
	cutLink: (*world).cutLink, cutOneWay: (*world).cutOneWay, weather: (*world).weather, slowWatch: (*world).slowWatches,
	diskStall: (*world).diskStall, diskFull: (*world).diskFull, powerLoss: (*world).powerLoss,
	tornWrite: (*world).tornWrite, wrongClock: (*world).wrongClock,
	oldData: (*world).oldData, oldBackup: (*world).oldBackup, clone: (*world).clone,
}

// Strike does one nemesis; without evidence it was not seen.
func (w *world) Strike(ctx context.Context, n *schedule.Nemesis) drive.Effect {
	if why := excuses[n.Kind]; why != "" {
		w.excuse(n.Targets[0], why)
	}
	evidence, err := strikes[n.Kind](w, ctx, n)
	if err == nil && !bystanders[n.Kind] {
		w.pardon(n.Targets[0])
	}
	return w.effect(ctx, evidence, err)
}

func (w *world) slowWatches(ctx context.Context, n *schedule.Nemesis) (string, error) {
	until := time.Now().Add(n.Duration.Duration())
	behind := w.run.Site(n.Targets[0]).Slow(ctx, n, func() time.Duration { return time.Until(until) })
	if behind == 0 {
		return "", errors.New("no watch was behind")
	}
	return fmt.Sprintf("watches were up to %d revisions behind", behind), nil
}
