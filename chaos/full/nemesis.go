package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	pb "supercluster/api/gen/supercluster/v1"
	"supercluster/chaos/history"
	"supercluster/chaos/schedule"
	"supercluster/internal/procs"
)

const (
	backFor   = 40 * time.Second // until servers that started again answer
	maxText   = 400              // of an error in the evidence
	unseenFor = 3 * time.Second  // how much longer a nemesis lasts that was not seen to work yet
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

// nemeses runs those of the plan one after the other, each no earlier than at its time.
func (w *world) nemeses(ctx context.Context, watchers []*watcher) {
	w.watchers = watchers
	began := time.Now()
	for i := range w.plan.Nemeses {
		n := &w.plan.Nemeses[i]
		if !pause(ctx, time.Until(began.Add(n.Start.Duration()))) {
			return
		}
		w.log.Add(history.Line{Type: history.Faulted, Fault: &history.Fault{Number: i, Kind: n.Kind}})
		evidence, err := strikes[n.Kind](w, ctx, n)
		if err == nil && evidence == "" {
			err = errors.New("there is no evidence")
		}
		if err != nil {
			text := err.Error()
			evidence += ": " + text[:min(len(text), maxText)]
		}
		w.log.Add(history.Line{Type: history.Faulted, Fault: &history.Fault{Number: i, Kind: n.Kind, Ended: true, Effect: err == nil, Evidence: evidence}})
	}
}

// last waits for the time of a nemesis, and longer until it was seen.
func (w *world) last(ctx context.Context, n *schedule.Nemesis, seen func() bool) {
	pause(ctx, n.Duration.Duration())
	_ = w.wait(ctx, unseenFor, "an effect", func(context.Context) string { // the evidence tells
		if seen() {
			return ""
		}
		return "nothing was seen"
	})
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
				pause(ctx, pollEvery)
				return false
			}
			leaders[status.GetLeader()] = true
		}
		return len(leaders) == 1
	}, s.Servers...)
}

func (w *world) slowWatches(ctx context.Context, n *schedule.Nemesis) (string, error) {
	s := w.find(n.Targets[0])
	s.mu.Lock()
	s.slowTill, s.lag = time.Now().Add(n.Duration.Duration()), 0
	s.mu.Unlock()
	behind := func() uint64 { s.mu.Lock(); defer s.mu.Unlock(); return s.lag }
	w.last(ctx, n, func() bool { return behind() > 0 })
	if behind() == 0 {
		return "", errors.New("no watch was behind")
	}
	return fmt.Sprintf("watches were up to %d revisions behind", behind()), nil
}
