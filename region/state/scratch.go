package state

import (
	"slices"

	"supercluster/region/record"
)

// Scratch is memory that one entry uses after the other: those of a region that catches up need much of it, and what collecting
// it costs comes at once. Nothing that outlives an entry points into it. The zero value is ready; it is used by one goroutine.
type Scratch struct {
	changes []change
	index   map[record.Key]int
	shown   []shownChange
	before  map[string]*rowBefore
	rows    []rowBefore
	row     []byte
}

// Bounds of what is kept for the next entry.
const (
	keptChanges = 1 << 12
	keptRow     = 256 << 10
)

// Apply is the function Apply, in this memory.
func (s *Scratch) Apply(kv KV, index uint64, e *record.Entry) (Outcome, error) {
	return apply(s, kv, index, e, usualLimits(Without{}))
}

// borrow gives a machine the memory, until giveBack.
func (m *machine) borrow(s *Scratch) {
	if s.index == nil {
		s.index, s.before = map[record.Key]int{}, map[string]*rowBefore{}
	}
	m.scratch, m.plan.changes, m.row = s, s.changes[:0], s.row[:0]
}

// giveBack leaves the memory to the next entry, without what was in it.
func (m *machine) giveBack() {
	m.plan.clear()
	s := m.scratch
	s.changes, s.row = m.plan.changes, m.row[:0]
	clear(s.before)
	clear(s.rows)
	s.rows = s.rows[:0]
	if cap(s.changes) > keptChanges || cap(s.shown) > keptChanges || cap(s.rows) > keptChanges || cap(s.row) > keptRow {
		*s = Scratch{}
	}
}

// clear empties a plan, and keeps its memory.
func (p *plan) clear() {
	clear(p.changes)
	clear(p.index)
	p.changes = p.changes[:0]
}

// rowsFor gives n empty rows, and a map for them.
func (s *Scratch) rowsFor(n int) ([]rowBefore, map[string]*rowBefore) {
	s.rows = slices.Grow(s.rows[:0], n)[:n]
	clear(s.rows) // and the map: an operation before this one in the entry may have used them
	clear(s.before)
	return s.rows, s.before
}
