package load

import (
	"context"
	"io"
	"net/http"
	"sync"
	"time"
)

// outcome is one request.
type outcome struct {
	at      time.Time // when it was sent
	ok      bool
	backend string // who answered
	problem string
}

// Load sends requests at a fixed rate, whatever the answers take, and keeps every outcome.
type Load struct {
	url, host string
	client    *http.Client

	mu       sync.Mutex
	outcomes []outcome
}

// New makes a load for a URL, with a Host header.
func New(url, host string) *Load {
	transport := &http.Transport{MaxIdleConns: 256, MaxIdleConnsPerHost: 256, MaxConnsPerHost: 256}
	return &Load{url: url, host: host, client: &http.Client{Transport: transport, Timeout: 5 * time.Second}}
}

// Run sends until ctx ends and waits for what is under way.
func (l *Load) Run(ctx context.Context, perSecond int) { paced(ctx, perSecond, l.Once) }

// paced runs once so many times a second until ctx ends, and waits for what is under way.
func paced(ctx context.Context, perSecond int, once func()) {
	var wg sync.WaitGroup
	defer wg.Wait()
	// The ticker is coarse on purpose: each tick sends what is due by then, so the rate holds.
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	begin, sent := time.Now(), 0
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		for due := int(time.Since(begin).Seconds() * float64(perSecond)); sent < due; sent++ {
			wg.Go(once)
		}
	}
}

// Once sends one request and keeps its outcome.
func (l *Load) Once() {
	o := outcome{at: time.Now()}
	request, err := http.NewRequest(http.MethodGet, l.url, nil)
	if err == nil {
		request.Host = l.host
		var response *http.Response
		if response, err = l.client.Do(request); err == nil {
			body, _ := io.ReadAll(io.LimitReader(response.Body, 1024))
			response.Body.Close()
			o.ok, o.backend = response.StatusCode == http.StatusOK, string(body)
			if !o.ok {
				o.problem = response.Status + ": " + string(body)
			}
		}
	}
	if err != nil {
		o.problem = err.Error()
	}
	l.mu.Lock()
	l.outcomes = append(l.outcomes, o)
	l.mu.Unlock()
}

// Counts is what happened to the requests of one step.
type Counts struct {
	Total, Failed int
	LastFailure   time.Duration // after the start of the step, 0 when none failed
	Backends      map[string]int
	Problem       string // the last one
	Span          time.Duration
}

// PerSecond is how many requests were sent each second, answered or not.
func (c Counts) PerSecond() float64 { return float64(c.Total) / c.Span.Seconds() }

// Between counts the requests sent in [from, to).
func (l *Load) Between(from, to time.Time) Counts {
	l.mu.Lock()
	defer l.mu.Unlock()
	return count(l.outcomes, from, to)
}

func count(outcomes []outcome, from, to time.Time) Counts {
	c := Counts{Backends: map[string]int{}, Span: to.Sub(from)}
	for _, o := range outcomes {
		if o.at.Before(from) || !o.at.Before(to) {
			continue
		}
		c.Total++
		if o.ok {
			c.Backends[o.backend]++
			continue
		}
		c.Failed++
		c.Problem = o.problem
		c.LastFailure = max(c.LastFailure, o.at.Sub(from))
	}
	return c
}

// Since counts the requests a backend answered from a moment on.
func (l *Load) Since(from time.Time, backend string) int {
	return l.Between(from, time.Now().Add(time.Hour)).Backends[backend]
}
