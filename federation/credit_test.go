package federation

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"supercluster/internal/bubble"
)

// TestAllowance: a peer has most of its credit at any time, and hears of it seldom.
func TestAllowance(t *testing.T) {
	const whole = 4 << 20
	a := allowance{whole: whole}
	left, words := whole, 0
	for i := range 100_000 {
		size := 200 + i%300
		left -= size
		if back := a.took(size); back > 0 {
			left += int(back)
			words++
		}
		if left <= whole-whole/giveParts || left > whole {
			t.Fatalf("after message %d the peer has %d of %d bytes", i, left, whole)
		}
	}
	if words < 60 || words > 80 {
		t.Errorf("%d words for 35 MB", words)
	}
	if back := a.took(whole); back < whole {
		t.Errorf("a message as large as all credit gives %d bytes back", back)
	}
	if back := (&allowance{whole: 1}).took(1); back != 1 {
		t.Errorf("the smallest credit: %d", back)
	}
}

// TestCredit_GoesOn: a channel with little credit has many times as much to say.
func TestCredit_GoesOn(t *testing.T) {
	for _, credit := range []uint32{1, 1000, 20_000} {
		t.Run(fmt.Sprint(credit), func(t *testing.T) {
			bubble.Test(t, func(t *testing.T) {
				w := newWorld(t, 40*time.Millisecond)
				defer w.close()
				w.tuning.Credit = credit
				a, b := w.region("alpha"), w.region("beta")
				w.mesh(a, b)
				a.federate(a)
				b.federate(a)
				for i := range 200 {
					a.put(instance(fmt.Sprintf("web/%d", i)), strings.Repeat("v", 100+10*i))
				}
				w.converge(time.Minute)
			})
		})
	}
}
