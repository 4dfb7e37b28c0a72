package measure

import (
	"sort"
	"time"
)

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

// Summary sorts the times of operations that succeeded and says what they are.
func Summary(took []time.Duration, elapsed time.Duration) Sample {
	s := Sample{Operations: len(took), Elapsed: elapsed}
	if len(took) > 0 {
		sort.Slice(took, func(i, j int) bool { return took[i] < took[j] })
		s.P50, s.P99, s.Max = Percentile(took, 50), Percentile(took, 99), took[len(took)-1]
	}
	return s
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
