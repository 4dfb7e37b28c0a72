package drive

import (
	"context"
	"fmt"
	"time"

	"supercluster/chaos/schedule"
)

const (
	// pollEvery is how often what is waited for is looked at.
	pollEvery = 20 * time.Millisecond
	// unseenFor is how much longer than planned a nemesis lasts that was not seen to work yet: its target may have been
	// switched off by another one meanwhile.
	unseenFor = 3 * time.Second
)

// Pause waits; false: ctx ended before.
func Pause(ctx context.Context, d time.Duration) bool {
	select {
	case <-ctx.Done():
		return false
	case <-time.After(d):
		return ctx.Err() == nil // both may have come
	}
}

// Wait waits until problem gives none.
func Wait(ctx context.Context, within time.Duration, what string, problem func(context.Context) string) error {
	ctx, cancel := context.WithTimeout(ctx, within)
	defer cancel()
	for last := "nothing"; ; {
		p := problem(ctx)
		if p == "" {
			return nil
		}
		if ctx.Err() != nil { // what it says now is only that the time is over
			return fmt.Errorf("waited %v for %s: %s", within, what, last)
		}
		last = p
		if !Pause(ctx, pollEvery) {
			return fmt.Errorf("waited %v for %s: %s", within, what, p)
		}
	}
}

// Last waits for the time of a nemesis, and longer until it was seen.
func Last(ctx context.Context, n *schedule.Nemesis, seen func() bool) {
	Pause(ctx, n.Duration.Duration())
	_ = Wait(ctx, unseenFor, "an effect", func(context.Context) string { // the evidence tells
		if seen() {
			return ""
		}
		return "nothing was seen"
	})
}
