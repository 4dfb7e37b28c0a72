package live

import (
	"context"
	"log/slog"
	"time"

	"go.opentelemetry.io/otel/metric"
	"go.opentelemetry.io/otel/trace"

	"supercluster/region/record"
	"supercluster/registry"
)

// Source is the store, as package region gives it.
type Source interface {
	Load(ctx context.Context, fn func(record.Record) error, kinds ...record.Kind) (record.Positions, error)
	Follow(ctx context.Context, from record.Positions, idle time.Duration,
		fn func(commits []record.Commit, at record.Positions) error) error
}

// Config is what a Runner needs.
type Config struct {
	Source Source
	Region string
	Log    *slog.Logger  // nil: none
	Meter  metric.Meter  // nil: none
	Tracer trace.Tracer  // nil: none
}

// Runner keeps a view up to date.
type Runner struct {
	cfg   Config
	ready chan struct{}
}

// New makes a Runner; it starts nothing.
func New(cfg Config) *Runner { return &Runner{cfg: cfg, ready: make(chan struct{})} }

// Run keeps the view up to date until ctx ends.
func (r *Runner) Run(ctx context.Context) error { <-ctx.Done(); return nil }

// View is the newest view; empty before Ready.
func (r *Runner) View() *registry.View { return registry.Empty(r.cfg.Region) }

// Ready is closed once the first view is published.
func (r *Runner) Ready() <-chan struct{} { return r.ready }

// Wait returns once the view covers a position.
func (r *Runner) Wait(ctx context.Context, at record.Positions) error { <-ctx.Done(); return ctx.Err() }

// Follow calls fn with the view and what changed since the call before, first with everything, until ctx ends
// (nil) or fn fails (its error). While fn runs, changes gather and merge.
func (r *Runner) Follow(ctx context.Context, fn func(v *registry.View, c registry.Changes) error) error {
	<-ctx.Done()
	return nil
}
