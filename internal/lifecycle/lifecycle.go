package lifecycle

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"time"
)

// defaultStopWithin is how long a part may take to stop when it names no limit.
const defaultStopWithin = 10 * time.Second

// waitLogEvery is how often a start that waits says what it waits for.
const waitLogEvery = 5 * time.Second

// Part is one thing that runs.
type Part struct {
	// Name stands in logs and errors.
	Name string
	// Run blocks until everything it started has ended. It ends when its context does.
	Run func(context.Context) error
	// Ready is closed when parts that need this one may start; nil means at once.
	Ready <-chan struct{}
	// StopWithin bounds the time from the cancelled context to the end of Run; 0 means 10 s.
	StopWithin time.Duration
}

// Group runs parts.
type Group struct {
	// Log gets one line for each part that is slow to start or stop; nil discards.
	Log *slog.Logger
	// OnReady is called once, when every part is ready.
	OnReady func()
}

// StuckError names the parts that did not stop in time. Their goroutines still run.
type StuckError struct{ Parts []string }

// Error gives the text.
func (e *StuckError) Error() string {
	return "did not stop in time: " + strings.Join(e.Parts, ", ")
}

// running is a part that was started.
type running struct {
	Part
	cancel context.CancelFunc
	done   chan struct{}
	err    error // valid once done is closed
}

// Run starts the parts in order and blocks until all have ended. It ends when ctx does (then the answer is nil
// if every part stopped cleanly) or when a part ends by itself.
func (g *Group) Run(ctx context.Context, parts ...Part) error {
	log := g.Log
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	// Room for every part, so that none waits to report its end.
	ended := make(chan *running, len(parts))
	started := make([]*running, 0, len(parts))
	var cause error
	for _, p := range parts {
		r := start(ctx, p, ended)
		started = append(started, r)
		if cause = awaitReady(ctx, log, r, ended); cause != nil {
			break
		}
	}
	if cause == nil {
		if g.OnReady != nil {
			g.OnReady()
		}
		select {
		case <-ctx.Done():
		case r := <-ended:
			cause = endError(r)
		}
	}
	if errors.Is(cause, errAsked) {
		cause = nil
	}
	return errors.Join(cause, stopAll(log, started, cause))
}

// wasReady reports whether the part came so far that others could use it.
func (r *running) wasReady() bool {
	if r.Ready == nil {
		return true
	}
	select {
	case <-r.Ready:
		return true
	default:
		return false
	}
}

// errAsked says that the start was given up because the caller's context ended.
var errAsked = errors.New("asked to stop")

func start(ctx context.Context, p Part, ended chan<- *running) *running {
	// The parts must not see the caller's context end: they are stopped one by one, in reverse.
	partCtx, cancel := context.WithCancel(context.WithoutCancel(ctx))
	r := &running{Part: p, cancel: cancel, done: make(chan struct{})}
	go func() {
		r.err = p.Run(partCtx)
		close(r.done)
		ended <- r
	}()
	return r
}

func awaitReady(ctx context.Context, log *slog.Logger, r *running, ended <-chan *running) error {
	if r.Ready == nil {
		return nil
	}
	began := time.Now()
	tick := time.NewTicker(waitLogEvery)
	defer tick.Stop()
	for {
		select {
		case <-r.Ready:
			return nil
		case e := <-ended:
			return endError(e)
		case <-ctx.Done():
			return errAsked
		case <-tick.C:
			log.Info("still waiting for a part to be ready", "part", r.Name, "waited", time.Since(began).Round(time.Second))
		}
	}
}

func endError(r *running) error {
	if r.err == nil {
		return fmt.Errorf("%s ended by itself", r.Name)
	}
	return fmt.Errorf("%s: %w", r.Name, r.err)
}

// stopAll stops the parts in reverse and gives the errors of stopping. The part whose end was the cause has
// been reported already.
func stopAll(log *slog.Logger, parts []*running, cause error) error {
	var errs []error
	var stuck []string
	for i := len(parts) - 1; i >= 0; i-- {
		r := parts[i]
		r.cancel()
		within := r.StopWithin
		if within == 0 {
			within = defaultStopWithin
		}
		began := time.Now()
		limit := time.NewTimer(within)
		select {
		case <-r.done:
			limit.Stop()
			switch {
			case r.err == nil || errors.Is(r.err, context.Canceled) || errors.Is(cause, r.err):
			case !r.wasReady():
				// It was told to stop while it started: that it could not is no failure.
				log.Info("part gave up its start", "part", r.Name, "error", r.err)
			default:
				errs = append(errs, fmt.Errorf("stop %s: %w", r.Name, r.err))
			}
			log.Debug("part stopped", "part", r.Name, "took", time.Since(began))
		case <-limit.C:
			stuck = append(stuck, r.Name)
			log.Error("part did not stop in time", "part", r.Name, "limit", within)
		}
	}
	if len(stuck) > 0 {
		errs = append(errs, &StuckError{Parts: stuck})
	}
	return errors.Join(errs...)
}
