package lifecycle

import (
	"context"
	"errors"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"supercluster/internal/bubble"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// trace records what happened in which order.
type trace struct {
	mu    sync.Mutex
	lines []string
}

func (t *trace) add(line string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.lines = append(t.lines, line)
}

// part runs until it is stopped, is ready after a while and takes a while to stop.
func (t *trace) part(name string, readyAfter, stopAfter time.Duration) Part {
	ready := make(chan struct{})
	return Part{Name: name, Ready: ready, StopWithin: time.Minute, Run: func(ctx context.Context) error {
		t.add("start " + name)
		timer := time.AfterFunc(readyAfter, func() {
			t.add("ready " + name)
			close(ready)
		})
		defer timer.Stop()
		<-ctx.Done()
		time.Sleep(stopAfter)
		t.add("stop " + name)
		return nil
	}}
}

func TestRun_StartsInOrderAndStopsInReverse(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		var tr trace
		ctx, cancel := context.WithCancel(t.Context())
		g := &Group{OnReady: func() { tr.add("group ready"); cancel() }}
		err := g.Run(ctx, tr.part("a", 3*time.Second, time.Second), tr.part("b", time.Second, 2*time.Second), tr.part("c", 0, 0))
		if err != nil {
			t.Fatal(err)
		}
		want := []string{
			"start a", "ready a", "start b", "ready b", "start c", "ready c", "group ready", "stop c", "stop b", "stop a",
		}
		if !slices.Equal(tr.lines, want) {
			t.Errorf("order:\n%s\nwant:\n%s", strings.Join(tr.lines, "\n"), strings.Join(want, "\n"))
		}
	})
}

func TestRun_APartThatFailsStopsTheRest(t *testing.T) {
	boom := errors.New("boom")
	tests := []struct {
		name  string
		parts func(tr *trace) []Part
		want  string
		trace []string
	}{
		{
			name: "while a later part waits to be ready",
			parts: func(tr *trace) []Part {
				fails := Part{Name: "first", Run: func(context.Context) error { time.Sleep(time.Second); return boom }}
				return []Part{tr.part("zero", 0, 0), fails, tr.part("second", time.Hour, 0), tr.part("never", 0, 0)}
			},
			want:  "first: boom",
			trace: []string{"start zero", "ready zero", "start second", "stop second", "stop zero"},
		},
		{
			name: "before it is ready itself",
			parts: func(tr *trace) []Part {
				return []Part{tr.part("zero", 0, 0), {
					Name: "bad", Ready: make(chan struct{}),
					Run: func(context.Context) error { return boom },
				}}
			},
			want:  "bad: boom",
			trace: []string{"start zero", "ready zero", "stop zero"},
		},
		{
			name: "by ending without an error",
			parts: func(tr *trace) []Part {
				return []Part{{Name: "short", Run: func(context.Context) error { return nil }}}
			},
			want: "short ended by itself",
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			bubble.Test(t, func(t *testing.T) {
				var tr trace
				err := (&Group{}).Run(t.Context(), tt.parts(&tr)...)
				if err == nil || err.Error() != tt.want {
					t.Errorf("error = %v, want %q", err, tt.want)
				}
				if !slices.Equal(tr.lines, tt.trace) {
					t.Errorf("trace = %q, want %q", tr.lines, tt.trace)
				}
			})
		})
	}
}

func TestRun_ContextEndsWhileStarting(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		var tr trace
		ctx, cancel := context.WithTimeout(t.Context(), 12*time.Second)
		defer cancel()
		called := false
		g := &Group{OnReady: func() { called = true }}
		if err := g.Run(ctx, tr.part("a", 0, 0), tr.part("b", time.Hour, 0)); err != nil {
			t.Fatal(err)
		}
		if called {
			t.Error("OnReady was called though a part never was ready")
		}
	})
}

func TestRun_APartThatCannotFinishItsStartIsNoFailure(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	starting := Part{Name: "slow", Ready: make(chan struct{}), Run: func(ctx context.Context) error {
		cancel()
		<-ctx.Done()
		return errors.New("open did not complete")
	}}
	if err := (&Group{}).Run(ctx, starting); err != nil {
		t.Errorf("error = %v, want none: it was asked to stop", err)
	}
}

func TestRun_StuckPartIsNamedAndTheRestStillStops(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		var tr trace
		release := make(chan struct{})
		ctx, cancel := context.WithCancel(t.Context())
		stuck := Part{Name: "stuck", StopWithin: time.Second, Run: func(context.Context) error { <-release; return nil }}
		g := &Group{OnReady: cancel}
		err := g.Run(ctx, tr.part("a", 0, 0), stuck)
		var se *StuckError
		if !errors.As(err, &se) || !slices.Equal(se.Parts, []string{"stuck"}) {
			t.Fatalf("error = %v, want a StuckError that names the part", err)
		}
		if !slices.Contains(tr.lines, "stop a") {
			t.Errorf("trace = %q: the part before the stuck one was not stopped", tr.lines)
		}
		close(release)
	})
}

func TestRun_ErrorsOfStoppingAreReported(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	g := &Group{OnReady: cancel}
	err := g.Run(ctx, Part{Name: "disk", Run: func(ctx context.Context) error {
		<-ctx.Done()
		return errors.New("flush failed")
	}}, Part{Name: "clean", Run: func(ctx context.Context) error {
		<-ctx.Done()
		return ctx.Err()
	}})
	if err == nil || err.Error() != "stop disk: flush failed" {
		t.Errorf("error = %v", err)
	}
}
