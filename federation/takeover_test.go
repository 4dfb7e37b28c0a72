package federation

import (
	"testing"
	"time"
)

func TestYield(t *testing.T) {
	for _, x := range []struct {
		took time.Duration
		busy bool
		want time.Duration
	}{
		{0, false, minYield},
		{2 * time.Millisecond, false, minYield},
		{4 * time.Millisecond, false, 8 * time.Millisecond},
		{2 * time.Millisecond, true, 18 * time.Millisecond},
		{time.Second, false, maxYield},
		{time.Second, true, maxYield},
	} {
		if got := yield(x.took, x.busy); got != x.want {
			t.Errorf("after %v, busy %t: %v, not %v", x.took, x.busy, got, x.want)
		}
	}
}
