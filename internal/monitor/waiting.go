package monitor

import (
	"sync"
	"time"
)

// Waiting is a monitor that waits for others, but at times does not. The zero value and nil change nothing.
type Waiting struct {
	slice time.Duration
	set   func(time.Duration) error

	mu    sync.Mutex
	until *time.Timer // when it waits again; nil: it does
}

// Wait lets the monitor be passed over for a slice, from now on. Where the system does not let it, nothing changes.
func Wait(slice time.Duration) *Waiting {
	w := &Waiting{slice: slice, set: Slice}
	_ = w.set(slice)
	return w
}

// Hurry has the monitor come as usual for a while from now. It costs next to nothing while it does already.
func (w *Waiting) Hurry(d time.Duration) {
	if w == nil || w.set == nil {
		return
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.until != nil {
		w.until.Reset(d)
		return
	}
	_ = w.set(usual)
	w.until = time.AfterFunc(d, w.wait)
}

func (w *Waiting) wait() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.until = nil
	_ = w.set(w.slice)
}
