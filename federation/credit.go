package federation

// giveParts is in how many parts a peer gets its credit back. With a word for each operation more than half of the bytes that
// went back for a single change were such words.
const giveParts = 8

// allowance is the credit of a pull. A peer stops when it has none left; then all that it sent is taken over some time, and that
// is more than a part: so it goes on.
type allowance struct {
	whole uint32 // that the pull gave
	owed  uint32 // of it was taken over, and not given back
}

// took notes that so many bytes were taken over, and gives those to give back now.
func (a *allowance) took(size int) (back uint32) {
	a.owed += uint32(size)
	if a.owed < a.whole/giveParts {
		return 0
	}
	back, a.owed = a.owed, 0
	return back
}
