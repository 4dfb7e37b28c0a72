package live

import (
	"context"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/trace"

	"supercluster/internal/fault"
	"supercluster/region/record"
	"supercluster/registry"
)

// Waits between tries to load the view.
const (
	firstRetry = 50 * time.Millisecond
	lastRetry  = time.Second
)

// Run loads the view, then follows the events until ctx ends (nil). A source that cannot answer for a while is
// asked again; history that is gone leads to a new load; any other failure ends Run.
func (r *Runner) Run(ctx context.Context) error {
	m, err := r.measure()
	if err != nil {
		return err
	}
	defer m.stop()
	wait := firstRetry
	for ctx.Err() == nil {
		err := r.loadAndFollow(ctx, m, func() { wait = firstRetry })
		switch kind := fault.KindOf(err); {
		case ctx.Err() != nil:
			return nil
		case err == nil:
			continue // the source ended its stream without a reason: load anew, to be sure
		case kind == fault.Compacted:
			r.cfg.Log.Info("the registry view fell behind the history that is kept; it is built anew", "reason", err)
		case kind.Retryable() || kind == fault.Deadline:
			r.cfg.Log.Warn("the registry view cannot be loaded yet", "error", err, "retry", wait)
		default:
			return err
		}
		pause(ctx, wait)
		wait = min(2*wait, lastRetry)
	}
	return nil
}

// pause waits, or less if ctx ends.
func pause(ctx context.Context, d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
	case <-ctx.Done():
	}
}

// loadAndFollow builds the view from the store and patches it from there on. stable is called once the view has
// moved by events, so that a later failure is a new one.
func (r *Runner) loadAndFollow(ctx context.Context, m *meters, stable func()) error {
	began := time.Now()
	b := registry.NewBuilder(r.cfg.Region)
	at, err := r.cfg.Source.Load(ctx, func(rec record.Record) error {
		b.Add(rec)
		return nil
	}, registry.Kinds()...)
	if err != nil {
		return err
	}
	v := b.View(at)
	r.publish(v, registry.Changes{All: true})
	m.loaded(ctx)
	r.cfg.Log.Info("registry view loaded", "revision", at.Data, "instances", v.InstanceCount(),
		"undecodable", v.Undecodable(), "took", time.Since(began))
	return r.cfg.Source.Follow(ctx, v.At(), 0, func(commits []record.Commit, _ record.Positions) error {
		if len(commits) > 0 {
			r.advance(ctx, m, commits)
			stable()
		}
		return nil
	})
}

// advance publishes the view after some commits.
func (r *Runner) advance(ctx context.Context, m *meters, commits []record.Commit) {
	spans := r.spans(ctx, commits)
	old := r.View()
	v, c := old.Next(commits)
	r.publish(v, c)
	m.moved(ctx, commits[len(commits)-1].Writer.Time)
	for _, s := range spans {
		s.End()
	}
	if n := v.Undecodable(); n > old.Undecodable() {
		r.cfg.Log.Warn("records that cannot be decoded are kept out of the registry view", "count", n)
	}
}

// spans begin the last part of each sampled write: from the commit to the published view.
func (r *Runner) spans(ctx context.Context, commits []record.Commit) []trace.Span {
	var spans []trace.Span
	for i := range commits {
		c := &commits[i]
		parent := trace.NewSpanContext(trace.SpanContextConfig{
			TraceID: c.Trace.TraceID, SpanID: c.Trace.SpanID, TraceFlags: trace.TraceFlags(c.Trace.Flags), Remote: true,
		})
		if !parent.IsValid() || !parent.IsSampled() {
			continue
		}
		_, span := r.cfg.Tracer.Start(trace.ContextWithRemoteSpanContext(ctx, parent), "view.publish",
			trace.WithAttributes(
				attribute.Int64("supercluster.shard", int64(c.Position.Shard)),
				attribute.Int64("supercluster.revision", int64(c.Position.Revision)),
				attribute.Int("supercluster.batch", len(commits)),
			))
		spans = append(spans, span)
	}
	return spans
}
