package check

import (
	"errors"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"supercluster/chaos/history"
)

// script writes a history by hand. Its clock moves by 1 ms with each line.
type script struct {
	lines []history.Line
	ids   uint64
}

func (s *script) add(l history.Line) *script {
	l.At = int64(len(s.lines)+1) * int64(time.Millisecond)
	s.lines = append(s.lines, l)
	return s
}

func (s *script) invoke(region string, c history.Call) uint64 {
	s.ids++
	s.add(history.Line{Type: history.Invoke, ID: s.ids, Region: region, Call: &c})
	return s.ids
}

func (s *script) ok(id uint64, a history.Answer) {
	s.add(history.Line{Type: history.OK, ID: id, Answer: &a})
}

func (s *script) end(id uint64, t history.Type) {
	s.add(history.Line{Type: t, ID: id, Text: errors.ErrUnsupported.Error()})
}

func put(pairs ...string) history.Call {
	c := history.Call{Kind: history.CallTxn}
	for i := 0; i < len(pairs); i += 2 {
		c.Steps = append(c.Steps, history.Step{Do: history.DoPut, Key: pairs[i], Value: pairs[i+1]})
	}
	return c
}

func get(keys ...string) history.Call {
	c := history.Call{Kind: history.CallGet}
	for _, k := range keys {
		c.Steps = append(c.Steps, history.Step{Do: history.DoGet, Key: k})
	}
	return c
}

func remove(key string) history.Call {
	return history.Call{Kind: history.CallDelete, Steps: []history.Step{{Do: history.DoDelete, Key: key}}}
}

func cas(key, from, to string) history.Call {
	c := put(key, to)
	c.Compare = []history.Entry{{Key: key, Value: from}}
	return c
}

// write is a call that is answered at once.
func (s *script) write(region string, c history.Call, revision uint64) {
	s.ok(s.invoke(region, c), history.Answer{Revision: revision})
}

func (s *script) read(region, key, value string) {
	s.ok(s.invoke(region, get(key)), history.Answer{Values: []string{value}})
}

func (s *script) open(region, name string, from uint64) {
	s.add(history.Line{Type: history.Watched, Region: region, Watch: &history.Watch{Name: name, Event: history.WatchOpen, Revision: from}})
}

func (s *script) progress(region, name string, at uint64) {
	s.add(history.Line{Type: history.Watched, Region: region, Watch: &history.Watch{Name: name, Event: history.WatchProgress, Revision: at}})
}

// event takes changes as "key=value", or "key" for a delete; a key of another region begins with its name.
func (s *script) event(region, name string, revision uint64, changes ...string) {
	w := &history.Watch{Name: name, Event: history.WatchEvent, Revision: revision}
	for _, c := range changes {
		key, value, found := strings.Cut(c, "=")
		change := history.Change{Key: key, Value: value, Deleted: !found, Channel: "config"}
		if source, _, _ := strings.Cut(key, "/"); source != region {
			change.Source = source
		}
		w.Changes = append(w.Changes, change)
	}
	s.add(history.Line{Type: history.Watched, Region: region, Watch: w})
}

func (s *script) bulk() { s.lines[len(s.lines)-1].Watch.Bulk = true }

func (s *script) mark(m string) { s.add(history.Line{Type: history.Marked, Text: m}) }

func (s *script) digest(region, source, digest string) {
	s.add(history.Line{Type: history.Digests, Region: region, Digest: &history.Digest{Source: source, Channel: "config", Digest: digest}})
}

func (s *script) state(region string, revision uint64, pairs ...string) {
	st := &history.State{Revision: revision}
	for i := 0; i < len(pairs); i += 2 {
		st.Entries = append(st.Entries, history.Entry{Key: pairs[i], Value: pairs[i+1]})
	}
	s.add(history.Line{Type: history.Stated, Region: region, State: st})
}

// wait lets time pass.
func (s *script) wait(d time.Duration) {
	for range int(d / time.Millisecond) {
		s.add(history.Line{Type: history.Marked, Text: "wait"})
	}
}

// stored sends the history through a file, as a run does.
func (s *script) stored(t *testing.T) ([]history.Line, []history.Operation) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "history.jsonl")
	log, err := history.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	for _, l := range s.lines {
		log.Add(l)
	}
	if err := log.Close(); err != nil {
		t.Fatal(err)
	}
	lines, err := history.Read(path)
	if err != nil {
		t.Fatal(err)
	}
	for i := range lines {
		lines[i].At = s.lines[i].At // the clock of the script
	}
	ops, err := history.Operations(lines)
	if err != nil {
		t.Fatal(err)
	}
	return lines, ops
}

// one is a history and what a checker must say of it; "" is nothing.
type one struct {
	name string
	want string
	make func(s *script)
}

func judge(t *testing.T, check func(lines []history.Line, ops []history.Operation) Result, all ...one) {
	t.Helper()
	for _, c := range all {
		t.Run(c.name, func(t *testing.T) {
			s := &script{}
			c.make(s)
			r := check(s.stored(t))
			text := strings.Join(append(r.Examples, r.Undecided), "\n")
			switch {
			case c.want == "" && !r.Passed():
				t.Errorf("a good history is refused: %+v", r)
			case c.want != "" && (r.Passed() || !strings.Contains(text, c.want)):
				t.Errorf("want %q, got %+v", c.want, r)
			}
		})
	}
}
