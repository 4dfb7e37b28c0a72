package federation

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"supercluster/internal/bubble"
)

// A steady stream of changes over a far path that loses packets: what is lost, and all behind it, comes with the copies,
// long before QUIC has sent it again.
func TestLanes_ALossCostsNoRoundTrip(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		const rtt, every, n, settled = 300 * time.Millisecond, 10 * time.Millisecond, 3000, 300
		w := newWorld(t, rtt)
		defer w.close()
		a, b := w.two()
		key := func(i int) string { return fmt.Sprintf("web/%04d", i) }
		sent := make([]time.Time, n)
		var lags []time.Duration
		for i := 0; len(lags) < n; i++ {
			switch {
			case i == settled:
				w.losesOne(200) // the further connections are there
			case i > n+1000:
				t.Fatalf("%d of %d changes came", len(lags), n)
			}
			if i < n {
				sent[i] = time.Now()
				a.put(instance(key(i)), "here")
			}
			time.Sleep(every)
			for len(lags) < min(i+1, n) && b.has(a, instance(key(len(lags))), "here") {
				lags = append(lags, time.Since(sent[len(lags)]))
			}
		}
		lags = lags[settled:]
		slices.Sort(lags)
		p99 := lags[len(lags)*99/100]
		t.Logf("p50 %v, p99 %v, max %v", lags[len(lags)/2], p99, lags[len(lags)-1])
		if most := rtt/2 + rtt/4 + 30*time.Millisecond; p99 > most {
			t.Errorf("one of 100 took %v or more, not at most %v", p99, most)
		}
	})
}
