package check

import (
	"testing"

	"supercluster/chaos/history"
)

func (s *script) life(region string, healed bool, revision uint64) {
	s.add(history.Line{Type: history.Lived, Region: region, Life: &history.Life{Healed: healed, Revision: revision}})
}

// twoLives is what dc1 does: it writes x twice, goes back to before the second write, brings it back at revision 5, and goes on.
func twoLives(s *script) {
	s.open("dc1", "w", 0)
	s.write("dc1", put("dc1/x", "1"), 1)
	s.event("dc1", "w", 1, "dc1/x=1")
	s.write("dc1", put("dc1/x", "2"), 2)
	s.event("dc1", "w", 2, "dc1/x=2")
	s.life("dc1", false, 0)
	s.open("dc1", "w", 0)
	s.event("dc1", "w", 1, "dc1/x=1")
	s.event("dc1", "w", 5, "dc1/x=2")
	s.life("dc1", true, 5)
	s.write("dc1", put("dc1/x", "3"), 6)
	s.event("dc1", "w", 6, "dc1/x=3")
	s.open("dc2", "v", 0)
	s.event("dc2", "v", 11, "dc1/x=1")
	s.event("dc2", "v", 12, "dc1/x=2")
}

// What a region brings back it may tell once more, and nothing else; and none of what comes after may be missing.
func TestFeed_Lives(t *testing.T) {
	judge(t, func(lines []history.Line, _ []history.Operation) Result { return Feed(lines, "dc2", "dc1") },
		one{"told once", "", func(s *script) { twoLives(s); s.event("dc2", "v", 13, "dc1/x=3"); s.mark(history.MarkQuiet) }},
		one{"told again", "", func(s *script) {
			twoLives(s)
			s.event("dc2", "v", 13, "dc1/x=2")
			s.event("dc2", "v", 14, "dc1/x=3")
			s.mark(history.MarkQuiet)
		}},
		one{"the past", "again", func(s *script) { twoLives(s); s.event("dc2", "v", 13, "dc1/x=1") }},
		one{"the new life never", "never showed 1 changes", func(s *script) { twoLives(s); s.mark(history.MarkQuiet) }},
	)
}

// Revisions and watches begin anew with a life, and are judged within it.
func TestWatches_Lives(t *testing.T) {
	judge(t, func(lines []history.Line, ops []history.Operation) Result { return Watches(lines, ops, "dc1") },
		one{"right", "", func(s *script) { twoLives(s); s.state("dc1", 6, "dc1/x", "3") }},
		one{"lost", "its watches showed", func(s *script) { twoLives(s); s.state("dc1", 6, "dc1/x", "1") }},
		one{"back within a life", "but was at 6", func(s *script) {
			twoLives(s)
			s.event("dc1", "w", 4, "dc1/x=2")
			s.state("dc1", 6, "dc1/x", "3")
		}},
	)
	judge(t, func(_ []history.Line, ops []history.Operation) Result { return Revisions(ops, "dc1") },
		one{"a new life", "", func(s *script) {
			s.write("dc1", put("dc1/x", "1"), 9)
			s.life("dc1", false, 0)
			s.write("dc1", put("dc1/x", "2"), 9)
		}},
		one{"the same life", "both answered", func(s *script) {
			s.write("dc1", put("dc1/x", "1"), 9)
			s.write("dc1", put("dc1/x", "2"), 9)
		}},
	)
}
