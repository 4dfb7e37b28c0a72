package main

import (
	"context"
	"fmt"
	"time"

	"supercluster/chaos/drive"
	"supercluster/chaos/schedule"
)

const (
	leaveFull = 128 << 20              // of room on a disk that is full: less than a node wants, more than that it stops
	lookEvery = 200 * time.Millisecond // how often a node looks at the room of its disk
	alarmIn   = 10 * time.Second       // until it says that its disk is full, or no more
)

// diskStalled lets the disk of a node stand still. Nobody switches nodes of the region off meanwhile: their end waits for the disk.
func (w *world) diskStalled(ctx context.Context, n *schedule.Nemesis) effect {
	s, x := w.target(n.Targets[0])
	s.power.Lock()
	defer s.power.Unlock()
	l := x.live()
	if l == nil {
		return effect{Evidence: x.name + " did not run"}
	}
	leader, began := ledBy([]*node{x}), time.Now()
	release, waited := l.disk.Stall()
	defer release()
	drive.Last(ctx, n, func() bool { return waited() > 0 })
	release()
	return effect{Seen: waited() > 0, Evidence: fmt.Sprintf("%d changes of the disk waited up to %v%s",
		waited(), time.Since(began).Round(time.Millisecond), leader)}
}

// diskFilled lets the disk of a node say that it is nearly full: the region must refuse to grow, and go on when there is room again.
func (w *world) diskFilled(ctx context.Context, n *schedule.Nemesis) effect {
	s, x := w.target(n.Targets[0])
	s.power.Lock()
	defer s.power.Unlock()
	l := x.live()
	if l == nil {
		return effect{Evidence: x.name + " did not run"}
	}
	began := time.Now()
	l.disk.Fill(leaveFull)
	err := alarmed(ctx, l, true)
	raised := time.Since(began)
	if err == nil {
		drive.Pause(ctx, n.Duration.Duration())
	}
	l.disk.Empty()
	if err != nil {
		return effect{Evidence: err.Error()}
	}
	e := effect{Seen: true, Evidence: fmt.Sprintf("the alarm was raised after %v and cleared after %v", raised.Round(time.Millisecond), time.Since(began).Round(time.Millisecond))}
	if err := alarmed(ctx, l, false); err != nil && ctx.Err() == nil {
		e.Stuck = fmt.Sprintf("%s has room again: %v", x.name, err)
	}
	return e
}

// alarmed waits until a node shows that an alarm of its region is raised, or that none is.
func alarmed(ctx context.Context, l *life, want bool) error {
	return drive.Wait(ctx, alarmIn, fmt.Sprintf("an alarm of the region: %v", want), func(context.Context) string {
		if raised := len(l.region.Status().Alarms) > 0; raised != want {
			return fmt.Sprintf("raised: %v", raised)
		}
		return ""
	})
}
