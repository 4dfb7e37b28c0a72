package federation

import (
	"context"
	"testing"
	"time"

	"supercluster/internal/bubble"
)

// Who waits for a region hears of it at once, and of one that left.
func TestAwaitRegion(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		self, other := [16]byte{1}, [16]byte{2}
		f := &Federation{book: newBook(Identity{RegionID: self, Name: "dc1"})}
		if err := f.AwaitRegion(t.Context(), self, true); err != nil {
			t.Error(err)
		}
		for _, known := range []bool{true, false} {
			began := time.Now()
			go func() {
				time.Sleep(time.Second)
				f.book.mu.Lock()
				defer f.book.mu.Unlock()
				f.book.peers = map[[16]byte]*peer{}
				if known {
					f.book.peers[other] = &peer{id: other}
				}
				close(f.book.changed)
				f.book.changed = make(chan struct{})
			}()
			if err := f.AwaitRegion(t.Context(), other, known); err != nil || time.Since(began) != time.Second {
				t.Errorf("known %v: %v after %v, want 1 s", known, err, time.Since(began))
			}
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if err := f.AwaitRegion(ctx, other, true); err == nil {
			t.Error("a region that does not come was found")
		}
	})
}
