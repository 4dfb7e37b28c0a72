package store

// arenaChunk is what an arena takes at once, and what it keeps from one Update to the next.
const arenaChunk = 256 << 10

// arena holds the keys and values of one Update, so that a write costs no allocation.
type arena struct {
	kept []byte // the first chunk
	free []byte // the rest of the current one
}

func (a *arena) reset() {
	if a.kept == nil {
		a.kept = make([]byte, arenaChunk)
	}
	a.free = a.kept
}

func (a *arena) copy(b []byte) []byte {
	if len(b) > arenaChunk/4 {
		return append([]byte(nil), b...)
	}
	if len(b) > len(a.free) {
		a.free = make([]byte, arenaChunk)
	}
	held := a.free[:len(b):len(b)]
	a.free = a.free[len(b):]
	copy(held, b)
	return held
}

// replace copies b, into the place of a value before when it fits.
func (a *arena) replace(before, b []byte) []byte {
	if before != nil && len(b) <= cap(before) {
		return append(before[:0], b...)
	}
	return a.copy(b)
}
