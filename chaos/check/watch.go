package check

import (
	"maps"
	"math"
	"slices"

	"supercluster/chaos/history"
)

// session is a watch from when it was opened until it is opened again.
type session struct {
	name  string
	from  uint64
	at    uint64
	given map[uint64]bool
}

// event is all that one revision changed, as it was seen first.
type event struct {
	revision uint64
	at       int64
	bulk     bool
	changes  []history.Change
}

// view is what all watches of a region saw together in one of its lives.
type view struct {
	life     int
	healed   uint64 // own changes up to here repeat what an earlier life told, or bring it back
	sessions []*session
	events   map[uint64]*event
}

// Watches judges the watches of a region: each gives revisions in order, each once, whole, without a gap, and goes on
// where it stopped; nothing is shown before it was written, twice, or though its write failed; and all of it together is
// the state at the end.
func Watches(lines []history.Line, ops []history.Operation, region string) Result {
	r := Result{Name: "watch " + region}
	views, back := watched(lines, region, &r), reborn(lines)
	for _, v := range views {
		v.judgeGaps(&r, acknowledged(ops, region, v.life))
		v.judgeValues(&r, ops, region, back)
	}
	views[len(views)-1].judgeState(&r, lines, region)
	return r.decide()
}

// watched follows every watch of a region, through its lives.
func watched(lines []history.Line, region string, r *Result) []*view {
	v := &view{events: map[uint64]*event{}}
	all := []*view{v}
	open := map[string]*session{}
	for i := range lines {
		l := &lines[i]
		if l.Type == history.Lived && l.Region == region && l.Life != nil {
			if l.Life.Healed {
				v.healed = l.Life.Revision
				continue
			}
			v, open = &view{life: len(all), healed: math.MaxUint64, events: map[uint64]*event{}}, map[string]*session{}
			all = append(all, v)
		}
		if l.Type != history.Watched || l.Region != region || l.Watch == nil {
			continue
		}
		w, s := l.Watch, open[l.Watch.Name]
		switch {
		case w.Event == history.WatchOpen:
			if s != nil && w.Revision > s.at {
				r.violated("watch %s was at %d and was opened again at %d", w.Name, s.at, w.Revision)
			}
			s = &session{name: w.Name, from: w.Revision, at: w.Revision, given: map[uint64]bool{}}
			open[w.Name] = s
			v.sessions = append(v.sessions, s)
		case s == nil:
			r.violated("watch %s shows revision %d before it was opened", w.Name, w.Revision)
		case w.Event == history.WatchProgress:
			if w.Revision < s.at {
				r.violated("watch %s was at %d and says that it is at %d", w.Name, s.at, w.Revision)
			}
			s.at = max(s.at, w.Revision)
		default:
			r.Examined++
			v.show(s, l, r)
		}
	}
	return all
}

// show takes one event of a watch.
func (v *view) show(s *session, l *history.Line, r *Result) {
	w := l.Watch
	switch {
	case s.given[w.Revision]:
		r.violated("watch %s shows revision %d again", w.Name, w.Revision)
	case w.Revision <= s.at:
		r.violated("watch %s shows revision %d, but was at %d", w.Name, w.Revision, s.at)
	}
	s.given[w.Revision], s.at = true, max(s.at, w.Revision)
	known := v.events[w.Revision]
	if known == nil {
		v.events[w.Revision] = &event{w.Revision, l.At, w.Bulk, w.Changes}
		return
	}
	known.at = min(known.at, l.At)
	if !slices.Equal(known.changes, w.Changes) {
		r.violated("watch %s shows revision %d as %v, another watch as %v", w.Name, w.Revision, w.Changes, known.changes)
	}
}

// acknowledged gives the writes of a life of a region that were answered with a revision. A delete of what was not there is answered
// the revision of another write, which comes first.
func acknowledged(ops []history.Operation, region string, life int) map[uint64]*history.Operation {
	all := map[uint64]*history.Operation{}
	for i := range ops {
		op := &ops[i]
		if op.Region != region || op.Life != life || op.Outcome != history.OK || !op.Call.Writes() || op.Answer.Refused {
			continue
		}
		if all[op.Answer.Revision] == nil || len(puts(&op.Call)) > 0 {
			all[op.Answer.Revision] = op
		}
	}
	return all
}

// puts gives the values that a call leaves behind.
func puts(c *history.Call) map[string]string {
	all := map[string]string{}
	for _, s := range c.Steps {
		switch s.Do {
		case history.DoPut:
			all[s.Key] = s.Value
		case history.DoDelete:
			delete(all, s.Key)
		}
	}
	return all
}

// judgeGaps compares what each watch gave with what all watches and all acknowledged writes know.
func (v *view) judgeGaps(r *Result, acked map[uint64]*history.Operation) {
	known := map[uint64]bool{}
	for revision := range v.events {
		known[revision] = true
	}
	for revision, op := range acked {
		values := puts(&op.Call)
		if len(values) > 0 {
			known[revision] = true // a delete of what is not there has no event
		}
		e := v.events[revision]
		if e == nil {
			continue
		}
		for key, value := range values {
			if !slices.ContainsFunc(e.changes, func(c history.Change) bool { return c.Key == key && c.Value == value && !c.Deleted }) {
				r.violated("revision %d was answered to the write %s = %q, which its event lacks: %v", revision, key, value, e.changes)
			}
		}
	}
	sorted := slices.Sorted(maps.Keys(known))
	for _, s := range v.sessions {
		for _, revision := range sorted {
			if revision > s.from && revision <= s.at && !s.given[revision] {
				r.violated("watch %s from %d to %d lacks revision %d", s.name, s.from, s.at, revision)
			}
		}
	}
}

// ordered gives the events by revision.
func (v *view) ordered() (all []*event) {
	for _, revision := range slices.Sorted(maps.Keys(v.events)) {
		all = append(all, v.events[revision])
	}
	return all
}

// reborn gives the regions that went back in time.
func reborn(lines []history.Line) map[string]bool {
	all := map[string]bool{}
	for i := range lines {
		if lines[i].Type == history.Lived {
			all[lines[i].Region] = true
		}
	}
	return all
}

// judgeValues compares every value shown with the write that made it. Clients write each value once. What a region that went
// back in time brings back it tells once more: that may only be what was shown of the key last.
func (v *view) judgeValues(r *Result, ops []history.Operation, region string, back map[string]bool) {
	writes := map[string]*history.Operation{}
	for i := range ops {
		for key, value := range puts(&ops[i].Call) {
			writes[key+"\x00"+value] = &ops[i]
		}
	}
	shown, last := map[string]uint64{}, map[string]string{}
	for _, e := range v.ordered() {
		keys := map[string]bool{}
		for _, c := range e.changes {
			if keys[c.Key] {
				r.violated("revision %d of %s changes %s twice", e.revision, region, c.Key)
			}
			keys[c.Key] = true
			told := last[c.Key] == c.Value && back[c.Source]
			if last[c.Key] = c.Value; c.Deleted {
				continue
			}
			id := c.Key + "\x00" + c.Value
			op := writes[id]
			switch {
			case op == nil:
				r.violated("revision %d of %s shows %s = %q, which nobody wrote", e.revision, region, c.Key, c.Value)
			case op.Outcome == history.Fail || op.Answer.Refused:
				r.violated("revision %d of %s shows %s = %q, whose write was refused", e.revision, region, c.Key, c.Value)
			case e.at < op.Invoked:
				r.violated("revision %d of %s shows %s = %q before it was written", e.revision, region, c.Key, c.Value)
			case shown[id] != 0 && !e.bulk && !told:
				r.violated("%s = %q was applied in %s at revision %d and again at %d", c.Key, c.Value, region, shown[id], e.revision)
			}
			shown[id] = e.revision
		}
	}
}

// judgeState plays all events and compares the end with the last state that was read.
func (v *view) judgeState(r *Result, lines []history.Line, region string) {
	var last *history.State
	for i := range lines {
		if l := &lines[i]; l.Type == history.Stated && l.Region == region && l.State != nil {
			last = l.State
		}
	}
	if last == nil || len(v.sessions) == 0 {
		r.Undecided = "the history has no watch or no last state of the region"
		return
	}
	if !slices.ContainsFunc(v.sessions, func(s *session) bool { return s.at >= last.Revision }) {
		r.violated("no watch of %s came to revision %d, where the last state was read", region, last.Revision)
	}
	have := map[string]string{}
	for _, e := range v.ordered() {
		for _, c := range e.changes {
			switch {
			case e.revision > last.Revision:
			case c.Deleted:
				delete(have, c.Key)
			default:
				have[c.Key] = c.Value
			}
		}
	}
	want := entries(last)
	for _, key := range slices.Sorted(maps.Keys(union(have, want))) {
		if have[key] != want[key] {
			r.violated("at revision %d %s has %s = %q, its watches showed %q", last.Revision, region, key, want[key], have[key])
		}
	}
}

func entries(s *history.State) map[string]string {
	all := map[string]string{}
	for _, e := range s.Entries {
		all[e.Key] = e.Value
	}
	return all
}

func union(a, b map[string]string) map[string]string {
	all := maps.Clone(a)
	maps.Copy(all, b)
	return all
}
