package check

import (
	"testing"

	"supercluster/chaos/history"
)

// three writes of dc1 that two watches see.
func watchedWrites(s *script) {
	s.open("dc1", "w1", 0)
	s.open("dc1", "w2", 0)
	s.write("dc1", put("a", "1"), 1)
	s.write("dc1", put("a", "2", "b", "2"), 2)
	s.write("dc1", remove("a"), 3)
}

func TestWatches(t *testing.T) {
	a := func(s *script, name string, revisions ...uint64) {
		for _, r := range revisions {
			switch r {
			case 1:
				s.event("", name, 1, "a=1")
			case 2:
				s.event("", name, 2, "a=2", "b=2")
			case 3:
				s.event("", name, 3, "a")
			}
			l := &s.lines[len(s.lines)-1]
			l.Region = "dc1"
			for i := range l.Watch.Changes {
				l.Watch.Changes[i].Source = ""
			}
		}
	}
	end := func(s *script) { s.state("dc1", 3, "b", "2") }
	judge(t, func(lines []history.Line, ops []history.Operation) Result { return Watches(lines, ops, "dc1") },
		one{"nothing", "nothing for it to examine", func(s *script) { s.open("dc1", "w", 0); s.state("dc1", 0) }},
		one{"all", "", func(s *script) { watchedWrites(s); a(s, "w1", 1, 2, 3); a(s, "w2", 1, 2, 3); end(s) }},
		one{"resumed", "", func(s *script) {
			watchedWrites(s)
			a(s, "w1", 1, 2)
			s.open("dc1", "w1", 2)
			a(s, "w1", 3)
			a(s, "w2", 1, 2, 3)
			end(s)
		}},
		one{"resumed from earlier", "", func(s *script) {
			watchedWrites(s)
			a(s, "w1", 1, 2)
			s.open("dc1", "w1", 1)
			a(s, "w1", 2, 3)
			end(s)
		}},
		one{"out of order", "but was at 2", func(s *script) { watchedWrites(s); a(s, "w1", 2, 1, 3); end(s) }},
		one{"twice", "again", func(s *script) { watchedWrites(s); a(s, "w1", 1, 2, 2, 3); end(s) }},
		one{"a gap", "lacks revision 2", func(s *script) { watchedWrites(s); a(s, "w1", 1, 3); a(s, "w2", 1, 2, 3); end(s) }},
		one{"a gap that only the answers know", "lacks revision 2", func(s *script) { watchedWrites(s); a(s, "w1", 1, 3); end(s) }},
		one{"a gap behind progress", "lacks revision 2", func(s *script) {
			watchedWrites(s)
			a(s, "w1", 1)
			s.progress("dc1", "w1", 2)
			a(s, "w2", 1, 2, 3)
			end(s)
		}},
		one{"a gap after resuming", "lacks revision 2", func(s *script) {
			watchedWrites(s)
			a(s, "w1", 1)
			s.open("dc1", "w1", 1)
			a(s, "w1", 3)
			a(s, "w2", 1, 2, 3)
			end(s)
		}},
		one{"resumed too late", "opened again at 2", func(s *script) {
			watchedWrites(s)
			a(s, "w1", 1)
			s.open("dc1", "w1", 2)
			a(s, "w1", 3)
			a(s, "w2", 1, 2, 3)
			end(s)
		}},
		one{"torn", "which its event lacks", func(s *script) {
			watchedWrites(s)
			a(s, "w1", 1, 2)
			s.lines[len(s.lines)-1].Watch.Changes = s.lines[len(s.lines)-1].Watch.Changes[:1]
			a(s, "w1", 3)
			end(s)
		}},
		one{"two watches disagree", "another watch as", func(s *script) {
			watchedWrites(s)
			a(s, "w1", 1, 2, 3)
			a(s, "w2", 1)
			s.lines[len(s.lines)-1].Watch.Changes[0].Value = "2"
			end(s)
		}},
		one{"before it was written", "before it was written", func(s *script) {
			s.open("dc1", "w1", 0)
			a(s, "w1", 1)
			s.write("dc1", put("a", "1"), 1)
			s.state("dc1", 1, "a", "1")
		}},
		one{"nobody wrote it", "nobody wrote", func(s *script) { s.open("dc1", "w1", 0); a(s, "w1", 1); s.state("dc1", 1, "a", "1") }},
		one{"its write failed", "was refused", func(s *script) {
			s.open("dc1", "w1", 0)
			s.end(s.invoke("dc1", put("a", "1")), history.Fail)
			a(s, "w1", 1)
			s.state("dc1", 1, "a", "1")
		}},
		one{"applied twice", "and again at 2", func(s *script) {
			s.open("dc1", "w1", 0)
			s.write("dc1", put("a", "1"), 1)
			a(s, "w1", 1, 1)
			s.lines[len(s.lines)-1].Watch.Revision = 2
			s.state("dc1", 2, "a", "1")
		}},
		one{"another state", "its watches showed", func(s *script) { watchedWrites(s); a(s, "w1", 1, 2, 3); s.state("dc1", 3, "a", "2", "b", "2") }},
		one{"never came to the end", "no watch of dc1 came to revision 3", func(s *script) { watchedWrites(s); a(s, "w1", 1, 2); end(s) }},
		one{"no state", "no last state", func(s *script) { watchedWrites(s); a(s, "w1", 1, 2, 3) }},
	)
}
