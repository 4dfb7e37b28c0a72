package measure

import (
	"context"
	"sort"
	"sync"
	"sync/atomic"
	"time"
)

// Call is one operation of one client; n counts up for the client.
type Call func(ctx context.Context, client, n int) error

// Sample is what one load run gave.
type Sample struct {
	Operations int
	Errors     int
	LastError  error
	Elapsed    time.Duration
	P50        time.Duration
	P99        time.Duration
	Max        time.Duration
}

// PerSecond is the rate of operations that succeeded.
func (s Sample) PerSecond() float64 { return float64(s.Operations) / s.Elapsed.Seconds() }

// Load runs `clients` closed loops for `run`, after an uncounted warm-up of a fifth of it.
func Load(ctx context.Context, clients int, run time.Duration, call Call) Sample {
	var (
		counting atomic.Bool
		wg       sync.WaitGroup
		mu       sync.Mutex
		all      []time.Duration
		out      Sample
	)
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	for c := range clients {
		wg.Add(1)
		go func() {
			defer wg.Done()
			mine := make([]time.Duration, 0, 1<<14)
			failed, last := 0, error(nil)
			for n := 0; ctx.Err() == nil; n++ {
				start := time.Now()
				err := call(ctx, c, n)
				took := time.Since(start)
				switch {
				case ctx.Err() != nil || !counting.Load():
				case err != nil:
					failed, last = failed+1, err
				default:
					mine = append(mine, took)
				}
			}
			mu.Lock()
			defer mu.Unlock()
			all = append(all, mine...)
			out.Errors += failed
			if last != nil {
				out.LastError = last
			}
		}()
	}
	wait(ctx, run/5)
	counting.Store(true)
	start := time.Now()
	wait(ctx, run)
	counting.Store(false)
	out.Elapsed = time.Since(start)
	cancel()
	wg.Wait()

	s := Summary(all, out.Elapsed)
	s.Errors, s.LastError = out.Errors, out.LastError
	return s
}

// Summary sorts the times of operations that succeeded and says what they are.
func Summary(took []time.Duration, elapsed time.Duration) Sample {
	s := Sample{Operations: len(took), Elapsed: elapsed}
	if len(took) > 0 {
		sort.Slice(took, func(i, j int) bool { return took[i] < took[j] })
		s.P50, s.P99, s.Max = Percentile(took, 50), Percentile(took, 99), took[len(took)-1]
	}
	return s
}

func wait(ctx context.Context, d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
	}
}

// Percentile of sorted durations.
func Percentile(sorted []time.Duration, p float64) time.Duration {
	if len(sorted) == 0 {
		return 0
	}
	i := int(p / 100 * float64(len(sorted)))
	return sorted[min(i, len(sorted)-1)]
}

// Median of figures.
func Median(figures []float64) float64 {
	if len(figures) == 0 {
		return 0
	}
	s := append([]float64(nil), figures...)
	sort.Float64s(s)
	if len(s)%2 == 1 {
		return s[len(s)/2]
	}
	return (s[len(s)/2-1] + s[len(s)/2]) / 2
}
