package monitor

import (
	"fmt"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"supercluster/internal/bubble"
)

func TestWaiting_HurriesForAWhileAfterTheLastCall(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		var trace []string
		begin := time.Now()
		w := &Waiting{slice: time.Minute, set: func(d time.Duration) error {
			trace = append(trace, fmt.Sprintf("%v %v", time.Since(begin), d))
			return nil
		}}
		for _, wait := range []time.Duration{time.Second, time.Second, 5 * time.Second} { // a second hurry within the first
			time.Sleep(wait)
			w.Hurry(3 * time.Second)
		}
		time.Sleep(time.Minute)
		synctest.Wait()
		want := []string{"1s 0s", "5s 1m0s", "7s 0s", "10s 1m0s"}
		if !slices.Equal(trace, want) {
			t.Errorf("slices at times: %q, want %q", trace, want)
		}
	})
}

func TestWaiting_NothingToChange(t *testing.T) {
	var none *Waiting
	none.Hurry(time.Second)
	new(Waiting).Hurry(time.Second)
}
