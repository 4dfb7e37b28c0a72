package bubble

import (
	"runtime"
	"sync"
	"testing"
	"time"
)

// Sleepers that wake at the very instant at which a timer of their own expires: with synctest.Test in the place of
// Test this crashes the race detector within a second.
func TestTest_TimersOfOneInstant(t *testing.T) {
	before := runtime.GOMAXPROCS(0)
	for range 5 {
		Test(t, func(*testing.T) {
			var sleepers sync.WaitGroup
			for range 64 {
				sleepers.Go(func() {
					for range 300 {
						expired := time.NewTimer(time.Millisecond)
						time.Sleep(time.Millisecond)
						select {
						case <-expired.C:
						default:
						}
					}
				})
			}
			sleepers.Wait()
		})
	}
	if after := runtime.GOMAXPROCS(0); after != before {
		t.Errorf("GOMAXPROCS %d after the bubbles, %d before", after, before)
	}
}
