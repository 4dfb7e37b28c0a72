package store

import "sync"

// broadcast wakes everybody who waits. Waiting first and looking second misses nothing.
type broadcast struct {
	mu      sync.Mutex
	waiting chan struct{} // nil while nobody waits, so that a signal then costs nothing
}

// wait gives a channel that the next signal closes.
func (b *broadcast) wait() <-chan struct{} {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.waiting == nil {
		b.waiting = make(chan struct{})
	}
	return b.waiting
}

func (b *broadcast) signal() {
	b.mu.Lock()
	if b.waiting != nil {
		close(b.waiting)
		b.waiting = nil
	}
	b.mu.Unlock()
}
