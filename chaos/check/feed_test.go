package check

import (
	"testing"
	"time"

	"supercluster/chaos/history"
)

// sourceWrites is what dc1 does: revision 1 makes x and y, 2 changes x, 3 deletes x, 4 makes z.
func sourceWrites(s *script) {
	s.open("dc1", "w", 0)
	s.event("dc1", "w", 1, "dc1/x=1", "dc1/y=1")
	s.event("dc1", "w", 2, "dc1/x=2")
	s.event("dc1", "w", 3, "dc1/x")
	s.event("dc1", "w", 4, "dc1/z=4")
	s.open("dc2", "v", 0)
}

func TestFeed(t *testing.T) {
	all := func(s *script, upTo int) {
		for i, changes := range [][]string{{"dc1/x=1", "dc1/y=1"}, {"dc1/x=2"}, {"dc1/x"}, {"dc1/z=4"}}[:upTo] {
			s.event("dc2", "v", uint64(10+i), changes...)
		}
	}
	judge(t, func(lines []history.Line, _ []history.Operation) Result { return Feed(lines, "dc2", "dc1") },
		one{"nothing", "nothing for it to examine", func(*script) {}},
		one{"all", "", func(s *script) { sourceWrites(s); all(s, 4); s.mark(history.MarkQuiet) }},
		one{"not all yet", "", func(s *script) { sourceWrites(s); all(s, 3) }},
		one{"never all", "never showed 1 changes of dc1/z", func(s *script) { sourceWrites(s); all(s, 3); s.mark(history.MarkQuiet) }},
		one{"skipped", "before it were never shown", func(s *script) {
			sourceWrites(s)
			all(s, 1)
			s.event("dc2", "v", 11, "dc1/x")
		}},
		one{"twice", "again", func(s *script) { sourceWrites(s); all(s, 2); s.event("dc2", "v", 12, "dc1/x=2") }},
		one{"back from the dead", "back from the dead", func(s *script) { sourceWrites(s); all(s, 3); s.event("dc2", "v", 13, "dc1/x=1") }},
		one{"from nowhere", "never made", func(s *script) { sourceWrites(s); s.event("dc2", "v", 10, "dc1/x=77") }},
		one{"out of order", "after 4", func(s *script) {
			sourceWrites(s)
			all(s, 2)
			s.event("dc2", "v", 12, "dc1/z=4")
			s.event("dc2", "v", 13, "dc1/x")
		}},
		one{"torn", "of the 2 changes", func(s *script) {
			sourceWrites(s)
			s.event("dc2", "v", 10, "dc1/x=1")
			s.event("dc2", "v", 11, "dc1/y=1")
		}},
		one{"a snapshot leaves versions out", "", func(s *script) {
			sourceWrites(s)
			s.event("dc2", "v", 10, "dc1/x=2", "dc1/y=1")
			s.bulk()
			s.event("dc2", "v", 11, "dc1/x")
			s.event("dc2", "v", 12, "dc1/z=4")
			s.mark(history.MarkQuiet)
		}},
		one{"a snapshot brings nothing back", "back from the dead", func(s *script) {
			sourceWrites(s)
			all(s, 3)
			s.event("dc2", "v", 13, "dc1/x=2")
			s.bulk()
		}},
	)
}

func TestConverged(t *testing.T) {
	marks := func(s *script) { s.mark(history.MarkHeal); s.mark(history.MarkQuiet) }
	judge(t, func(lines []history.Line, _ []history.Operation) Result { return Converged(lines, 20*time.Millisecond) },
		one{"no marks", "no mark", func(s *script) { s.digest("dc1", "dc1", "A"); s.digest("dc2", "dc1", "A") }},
		one{"nothing", "nothing for it to examine", marks},
		one{"in time", "", func(s *script) {
			marks(s)
			s.digest("dc2", "dc1", "0")
			s.digest("dc2", "dc1", "A")
			s.digest("dc1", "dc1", "A")
		}},
		one{"never", "not equal to its source", func(s *script) { marks(s); s.digest("dc2", "dc1", "0"); s.digest("dc1", "dc1", "A") }},
		one{"not for good", "not equal to its source", func(s *script) {
			marks(s)
			s.digest("dc2", "dc1", "A")
			s.digest("dc2", "dc1", "0")
			s.digest("dc1", "dc1", "A")
		}},
		one{"too late", "only after", func(s *script) {
			marks(s)
			s.wait(30 * time.Millisecond)
			s.digest("dc2", "dc1", "A")
			s.digest("dc1", "dc1", "A")
		}},
		one{"only before healing", "nothing for it to examine", func(s *script) { s.digest("dc2", "dc1", "A"); s.digest("dc1", "dc1", "A"); marks(s) }},
	)
}

func TestSame(t *testing.T) {
	judge(t, func(lines []history.Line, _ []history.Operation) Result { return Same(lines) },
		one{"one region", "nothing for it to examine", func(s *script) { s.state("dc1", 1, "a", "1") }},
		one{"equal", "", func(s *script) { s.state("dc1", 1, "a", "1"); s.state("dc2", 9, "a", "1") }},
		one{"one lacks an entry", `"" in dc2`, func(s *script) { s.state("dc1", 1, "a", "1"); s.state("dc2", 9) }},
		one{"one has too many", `"1" in dc2`, func(s *script) { s.state("dc1", 1); s.state("dc2", 9, "a", "1") }},
	)
}

func TestFences(t *testing.T) {
	judge(t, func(lines []history.Line, _ []history.Operation) Result { return Fences(lines) },
		one{"nothing", "nothing for it to examine", func(*script) {}},
		one{"none", "", func(s *script) { s.state("dc1", 1, "a", "1") }},
		one{"one", "dc1 fenced itself 2 times", func(s *script) {
			s.state("dc1", 1, "a", "1")
			s.lines[len(s.lines)-1].State.Fences = 2
		}},
	)
}

func TestRecovered(t *testing.T) {
	fault := func(s *script, f history.Fault) {
		s.lines = append(s.lines, history.Line{Type: history.Faulted, Fault: &f})
	}
	judge(t, func(lines []history.Line, _ []history.Operation) Result { return Recovered(lines) },
		one{"no fault has ended", "nothing for it to examine", func(s *script) { fault(s, history.Fault{Kind: "kill"}) }},
		one{"all are back", "", func(s *script) { fault(s, history.Fault{Kind: "kill", Ended: true}) }},
		one{"one is not", "after fault 1, power-loss: n1 lost its log", func(s *script) {
			fault(s, history.Fault{Kind: "kill", Ended: true})
			fault(s, history.Fault{Number: 1, Kind: "power-loss", Ended: true, Stuck: "n1 lost its log"})
		}},
	)
}

func TestStaleness(t *testing.T) {
	lookup := func(s *script, value string, age time.Duration) {
		c := get("dc1/a")
		c.Source = "dc1"
		id := s.invoke("dc2", c)
		n := int64(age)
		s.ok(id, history.Answer{Values: []string{value}, Age: &n})
	}
	writes := func(s *script) {
		s.open("dc1", "w", 0)
		s.write("dc1", put("dc1/a", "1"), 1)
		s.write("dc1", put("dc1/a", "2"), 2)
		s.event("dc1", "w", 1, "dc1/a=1")
		s.event("dc1", "w", 2, "dc1/a=2")
	}
	judge(t, func(lines []history.Line, ops []history.Operation) Result {
		return Staleness(lines, ops, 5*time.Millisecond)
	},
		one{"nothing", "nothing for it to examine", writes},
		one{"new", "", func(s *script) { writes(s); lookup(s, "2", 0) }},
		one{"old and says so", "", func(s *script) { writes(s); s.wait(100 * time.Millisecond); lookup(s, "1", 105*time.Millisecond) }},
		one{"old and lies", "had been replaced", func(s *script) { writes(s); s.wait(100 * time.Millisecond); lookup(s, "1", 50*time.Millisecond) }},
		one{"missing and lies", "had been replaced", func(s *script) { writes(s); s.wait(100 * time.Millisecond); lookup(s, "", 50*time.Millisecond) }},
		one{"nobody wrote it", "nobody wrote", func(s *script) { writes(s); lookup(s, "3", 0) }},
		one{"deleted long ago", "had been replaced", func(s *script) {
			writes(s)
			s.write("dc1", remove("dc1/a"), 3)
			s.event("dc1", "w", 3, "dc1/a")
			s.wait(100 * time.Millisecond)
			lookup(s, "2", 0)
		}},
		one{"no age", "declares no age", func(s *script) {
			writes(s)
			c := get("dc1/a")
			c.Source = "dc1"
			s.ok(s.invoke("dc2", c), history.Answer{Values: []string{"2"}})
		}},
		one{"age unknown", "", func(s *script) {
			writes(s)
			c := get("dc1/a")
			c.Source = "dc1"
			s.wait(100 * time.Millisecond)
			s.ok(s.invoke("dc2", c), history.Answer{Values: []string{"1"}, AgeUnknown: true})
		}},
	)
}
