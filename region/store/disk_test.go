package store

import "testing"

func TestJudgeDisk(t *testing.T) {
	const mib = 1 << 20
	tests := []struct {
		name        string
		free, state uint64
		low, enough bool
	}{
		{name: "plenty", free: 10_000 * mib, state: 100 * mib, enough: true},
		{name: "just enough", free: 375 * mib, state: 100 * mib, enough: true},
		{name: "between", free: 320 * mib, state: 100 * mib},
		{name: "a recovery would not fit", free: 299 * mib, state: 100 * mib, low: true},
		{name: "empty state still needs the margin", free: 99 * mib, low: true},
		{name: "full", low: true},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			d := judgeDisk(20_000*mib, tt.free, tt.state, 100*mib)
			if d.Low != tt.low || d.Enough != tt.enough || d.Reserve != 2*tt.state+100*mib {
				t.Errorf("judged %+v; want low %v, enough %v", d, tt.low, tt.enough)
			}
		})
	}
}
