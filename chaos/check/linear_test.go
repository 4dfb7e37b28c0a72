package check

import (
	"testing"
	"time"

	"supercluster/chaos/history"
)

func TestLinearizable(t *testing.T) {
	judge(t, func(_ []history.Line, ops []history.Operation) Result {
		return Linearizable(ops, "dc1", 10*time.Second)
	},
		one{"nothing", "nothing for it to examine", func(*script) {}},
		one{"put, read, compare, delete", "", func(s *script) {
			s.write("dc1", put("a", "1"), 1)
			s.read("dc1", "a", "1")
			s.write("dc1", cas("a", "1", "2"), 2)
			s.ok(s.invoke("dc1", cas("a", "1", "3")), history.Answer{Refused: true, Revision: 2})
			s.write("dc1", remove("a"), 3)
			s.read("dc1", "a", "")
		}},
		one{"a stale read", "get", func(s *script) {
			s.write("dc1", put("a", "1"), 1)
			s.write("dc1", put("a", "2"), 2)
			s.read("dc1", "a", "1")
		}},
		one{"the first wrong answer is told", `["1"] at 0`, func(s *script) {
			s.write("dc1", put("a", "1"), 1)
			s.write("dc1", put("a", "2"), 2)
			s.read("dc1", "a", "2")
			s.read("dc1", "a", "1")
			s.read("dc1", "a", "2")
		}},
		one{"a lost write", "no order", func(s *script) {
			s.write("dc1", put("a", "1"), 1)
			s.read("dc1", "a", "")
		}},
		one{"both compares win", "no order", func(s *script) {
			s.write("dc1", put("a", "1"), 1)
			s.write("dc1", cas("a", "1", "2"), 2)
			s.write("dc1", cas("a", "1", "3"), 3)
		}},
		one{"a compare is refused though it holds", "no order", func(s *script) {
			s.write("dc1", put("a", "1"), 1)
			s.ok(s.invoke("dc1", cas("a", "1", "2")), history.Answer{Refused: true})
		}},
		one{"a torn transaction", "no order", func(s *script) {
			s.write("dc1", put("a", "1", "b", "1"), 1)
			s.write("dc1", put("a", "2", "b", "2"), 2)
			s.ok(s.invoke("dc1", get("a", "b")), history.Answer{Values: []string{"2", "1"}})
		}},
		one{"an unknown write may have happened", "", func(s *script) {
			s.write("dc1", put("a", "1"), 1)
			s.end(s.invoke("dc1", put("a", "2")), history.Unknown)
			s.read("dc1", "a", "1")
			s.read("dc1", "a", "2")
		}},
		one{"an unknown write does not come and go", "no order", func(s *script) {
			s.write("dc1", put("a", "1"), 1)
			s.end(s.invoke("dc1", put("a", "2")), history.Unknown)
			s.read("dc1", "a", "2")
			s.read("dc1", "a", "1")
		}},
		one{"a failed write did not happen", "no order", func(s *script) {
			s.end(s.invoke("dc1", put("a", "2")), history.Fail)
			s.read("dc1", "a", "2")
		}},
		one{"what overlaps has any order", "", func(s *script) {
			a, b := s.invoke("dc1", put("a", "1")), s.invoke("dc1", put("a", "2"))
			s.ok(b, history.Answer{Revision: 1})
			s.ok(a, history.Answer{Revision: 2})
			s.read("dc1", "a", "1")
		}},
		one{"lookups of other regions may be old", "", func(s *script) {
			s.write("dc1", put("a", "1"), 1)
			c := get("a")
			c.Source = "dc2"
			s.ok(s.invoke("dc1", c), history.Answer{Values: []string{""}})
		}},
	)
}

func TestRevisions(t *testing.T) {
	judge(t, func(_ []history.Line, ops []history.Operation) Result { return Revisions(ops, "dc1") },
		one{"rising", "", func(s *script) {
			s.write("dc1", put("a", "1"), 4)
			s.write("dc1", put("b", "1"), 9)
		}},
		one{"overlapping", "", func(s *script) {
			a := s.invoke("dc1", put("a", "1"))
			s.write("dc1", put("b", "1"), 9)
			s.ok(a, history.Answer{Revision: 4})
		}},
		one{"the same twice", "both answered", func(s *script) {
			s.write("dc1", put("a", "1"), 4)
			s.write("dc1", put("b", "1"), 4)
		}},
		one{"a delete of nothing", "", func(s *script) {
			s.write("dc1", put("a", "1"), 4)
			s.write("dc1", remove("b"), 4)
			s.write("dc1", remove("b"), 4)
		}},
		one{"a delete that saw less", "began after", func(s *script) {
			s.write("dc1", put("a", "1"), 4)
			s.write("dc1", remove("b"), 3)
		}},
		one{"falling", "began after", func(s *script) {
			s.write("dc1", put("a", "1"), 4)
			s.write("dc1", put("b", "1"), 3)
		}},
	)
}
