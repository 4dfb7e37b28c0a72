package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	pb "supercluster/api/gen/supercluster/v1"
	"supercluster/chaos/drive"
	"supercluster/chaos/schedule"
	"supercluster/internal/procs"
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
	evidence, err := strikes[n.Kind](w, ctx, n)
	if err == nil && evidence == "" {
		err = errors.New("there is no evidence")
	}
	if err != nil {
		text := err.Error()
		evidence += ": " + text[:min(len(text), maxText)]
	}
	return drive.Effect{Seen: err == nil, Evidence: evidence}
}

// back waits until all servers of a region answer and follow one leader.
func (s *site) back(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, backFor)
	defer cancel()
	return procs.WaitUntil(ctx, "all servers of "+s.Name, func(ctx context.Context) bool {
		leaders := map[string]bool{}
		for _, conn := range s.Conns {
			asking, stop := context.WithTimeout(ctx, askFor)
			status, err := pb.NewClusterServiceClient(conn).GetStatus(asking, &pb.GetStatusRequest{})
			stop()
			if err != nil || status.GetLeader() == "" {
				drive.Pause(ctx, pollEvery)
				return false
			}
			leaders[status.GetLeader()] = true
		}
		return len(leaders) == 1
	}, s.Servers...)
}

func (w *world) slowWatches(ctx context.Context, n *schedule.Nemesis) (string, error) {
	until := time.Now().Add(n.Duration.Duration())
	behind := w.run.Site(n.Targets[0]).Slow(ctx, n, func() time.Duration { return time.Until(until) })
	if behind == 0 {
		return "", errors.New("no watch was behind")
	}
	return fmt.Sprintf("watches were up to %d revisions behind", behind), nil
}
