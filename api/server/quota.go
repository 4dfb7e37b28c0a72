package server

import (
	"sync"
	"time"

	"golang.org/x/time/rate"

	"supercluster/internal/fault"
)

// maxPrincipals bounds the buckets kept; beyond it callers share one, so that names cannot fill the memory.
const maxPrincipals = 10_000

// quotas holds one token bucket for each class and principal.
type quotas struct {
	rates   [classCount]rate.Limit
	mu      sync.RWMutex
	buckets map[string]*[classCount]*rate.Limiter
	shared  *[classCount]*rate.Limiter
}

func newQuotas(l Limits) *quotas {
	q := &quotas{buckets: map[string]*[classCount]*rate.Limiter{}}
	q.rates = [classCount]rate.Limit{classRead: rate.Limit(l.ReadRate), classWrite: rate.Limit(l.WriteRate), classOpen: rate.Limit(l.OpenRate), classFree: rate.Inf}
	q.shared = q.fresh()
	return q
}

func (q *quotas) fresh() *[classCount]*rate.Limiter {
	var b [classCount]*rate.Limiter
	for c := range b {
		// A burst of one second's worth, and at least one call.
		b[c] = rate.NewLimiter(q.rates[c], max(1, int(min(float64(q.rates[c]), 1<<30))))
	}
	return &b
}

func (q *quotas) of(principal string) *[classCount]*rate.Limiter {
	q.mu.RLock()
	b := q.buckets[principal]
	q.mu.RUnlock()
	if b != nil {
		return b
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	if b := q.buckets[principal]; b != nil {
		return b
	}
	if len(q.buckets) >= maxPrincipals {
		return q.shared
	}
	b = q.fresh()
	q.buckets[principal] = b
	return b
}

// take charges one call. A principal over its rate is told when to come again; nothing waits here.
func (q *quotas) take(c class, principal string) error {
	if c == classFree {
		return nil
	}
	if q.of(principal)[c].Allow() {
		return nil
	}
	perSecond := float64(q.rates[c])
	return fault.New(fault.Busy, "%q is over its quota of %g %s calls a second", principal, perSecond, c).
		WithRetryAfter(time.Duration(float64(time.Second) / perSecond))
}

// watchCounts bounds the watches that a principal has open on this node.
type watchCounts struct {
	limit int
	mu    sync.Mutex
	open  map[string]int
}

func newWatchCounts(limit int) *watchCounts {
	return &watchCounts{limit: limit, open: map[string]int{}}
}

func (w *watchCounts) enter(principal string) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.open[principal] >= w.limit {
		return fault.New(fault.Busy, "%q has %d watches open on this node, the limit", principal, w.limit).
			WithHint("close some, or watch a common prefix once").WithRetryAfter(time.Second)
	}
	w.open[principal]++
	return nil
}

func (w *watchCounts) leave(principal string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.open[principal]--; w.open[principal] == 0 {
		delete(w.open, principal)
	}
}
