package check

import (
	"fmt"
	"time"

	"supercluster/chaos/history"
)

// at is a place in the history of a region.
type at struct {
	life     int
	revision uint64
}

func (a at) before(b at) bool { return a.life < b.life || a.life == b.life && a.revision < b.revision }

// made is one change as its own region made it.
type made struct {
	history.Change
	at
}

// own gives the changes that a region made, by key, and how many each revision made in each channel. What a later life only
// repeats or brings back is left out.
func own(lines []history.Line, region string) (byKey map[string][]made, sizes map[place]int) {
	byKey, sizes = map[string][]made{}, map[place]int{}
	for _, v := range watched(lines, region, &Result{}) {
		for _, e := range v.ordered() {
			for _, c := range e.changes {
				if c.Source == "" && e.revision > v.healed {
					byKey[c.Key] = append(byKey[c.Key], made{c, at{v.life, e.revision}})
					sizes[place{c.Channel, at{v.life, e.revision}}]++
				}
			}
		}
	}
	return byKey, sizes
}

// place is a transaction in a channel.
type place struct {
	channel string
	at
}

func (p place) String() string {
	return fmt.Sprintf("%s at %d of life %d", p.channel, p.revision, p.life)
}

// follower compares what a region shows of a source with what the source did.
type follower struct {
	r       *Result
	source  string
	history map[string][]made
	sizes   map[place]int
	lives   int            // of the source
	next    map[string]int // by key: how much of the history was shown
	newest  map[string]at  // by channel: where the source was that was shown last
	torn    map[place]bool // transactions that were told already
}

// Feed judges what the watches of one region show of another: every change of every key that the source made, once, in
// the order of the source (so what was deleted does not come back), transactions whole and in order within a channel,
// and all of it in the end.
func Feed(lines []history.Line, to, from string) Result {
	r := Result{Name: "feed " + from + " to " + to}
	byKey, sizes := own(lines, from)
	lives := len(watched(lines, from, &Result{}))
	var f *follower
	for _, v := range watched(lines, to, &Result{}) { // a life of the receiver shows everything anew
		f = &follower{r: &r, source: from, lives: lives, history: byKey, sizes: sizes, next: map[string]int{}, newest: map[string]at{}, torn: map[place]bool{}}
		for _, e := range v.ordered() {
			f.take(e)
		}
	}
	if _, quiet := history.MarkedAt(lines, history.MarkQuiet); quiet {
		for key, all := range byKey {
			if n := f.next[key]; n < len(all) {
				r.violated("%s never showed %d changes of %s, first %q of revision %d", to, len(all)-n, key, all[n].Value, all[n].revision)
			}
		}
	}
	return r.decide()
}

// take follows one revision of the receiver.
func (f *follower) take(e *event) {
	sizes := map[place]int{}
	for _, c := range e.changes {
		if c.Source != f.source {
			continue
		}
		f.r.Examined++
		i, ok := f.find(&c, e)
		if !ok {
			continue
		}
		made := f.history[c.Key][i].at
		if e.bulk {
			continue
		}
		newest := f.newest[c.Channel]
		if made.before(newest) {
			f.r.violated("channel %s shows revision %d of %s after %d", c.Channel, made.revision, f.source, newest.revision)
		} else {
			f.newest[c.Channel] = made
		}
		sizes[place{c.Channel, made}]++
	}
	for id, n := range sizes {
		if n != f.sizes[id] && !f.torn[id] {
			f.torn[id] = true
			f.r.violated("revision %d shows %d of the %d changes of %s's transaction %s", e.revision, n, f.sizes[id], f.source, id)
		}
	}
}

// find gives the place of a change in the history of its key, which must be the next one.
func (f *follower) find(c *history.Change, e *event) (int, bool) {
	all, next := f.history[c.Key], f.next[c.Key]
	if due := next < len(all) && all[next].Value == c.Value && all[next].Deleted == c.Deleted; !due && f.again(c) {
		return 0, false
	}
	for i := next; i < len(all); i++ {
		if all[i].Value != c.Value || all[i].Deleted != c.Deleted {
			continue
		}
		if i > next && !e.bulk {
			f.r.violated("revision %d shows %s = %q (deleted %v), but %d changes before it were never shown", e.revision, c.Key, c.Value, c.Deleted, i-next)
		}
		f.next[c.Key] = i + 1
		return i, true
	}
	f.r.violated("revision %d shows %s = %q (deleted %v) of %s, which is behind what was shown, or was never made: again, or back from the dead",
		e.revision, c.Key, c.Value, c.Deleted, f.source)
	return 0, false
}

// again says whether a change is the last one that was shown of its key, of a source that went back in time: it brings
// back what it had lost, and tells that once more.
func (f *follower) again(c *history.Change) bool {
	all, next := f.history[c.Key], f.next[c.Key]
	if next == 0 {
		return false
	}
	last := &all[next-1]
	return f.lives > 1 && last.Value == c.Value && last.Deleted == c.Deleted
}

// Converged judges that after the faults had ended and nobody wrote any more, every region had the digests of its
// sources in time.
func Converged(lines []history.Line, within time.Duration) Result {
	r := Result{Name: "digests equal"}
	begin, ok := history.MarkedAt(lines, history.MarkHeal)
	quiet, ok2 := history.MarkedAt(lines, history.MarkQuiet)
	if !ok || !ok2 {
		r.Undecided = "the history has no mark of healing or of the end of writes"
		return r
	}
	begin = max(begin, quiet)
	final := map[string]string{} // by source and channel
	for i := range lines {
		if d := lines[i].Digest; d != nil && d.Source == lines[i].Region {
			final[d.Source+" "+d.Channel] = d.Digest
		}
	}
	equal := map[string]int64{} // by receiver, source and channel: since when; -1 is never
	for i := range lines {
		l := &lines[i]
		if l.Digest == nil || l.Digest.Source == l.Region || l.At < begin {
			continue
		}
		id := l.Region + " of " + l.Digest.Source + " " + l.Digest.Channel
		since, known := equal[id]
		switch same := l.Digest.Digest == final[l.Digest.Source+" "+l.Digest.Channel]; {
		case !same:
			equal[id] = -1
		case !known || since < 0:
			equal[id] = l.At
		}
	}
	for id, since := range equal {
		r.Examined++
		if took := time.Duration(since - begin); since < 0 {
			r.violated("%s is not equal to its source in the end", id)
		} else if took > within {
			r.violated("%s was equal to its source only after %v", id, took)
		}
	}
	return r.decide()
}

// Same judges that the last states of all regions are the same.
func Same(lines []history.Line) Result {
	r := Result{Name: "states equal"}
	last := map[string]*history.State{}
	var names []string
	for i := range lines {
		if l := &lines[i]; l.Type == history.Stated && l.State != nil {
			if last[l.Region] == nil {
				names = append(names, l.Region)
			}
			last[l.Region] = l.State
		}
	}
	if len(names) < 2 {
		return r.decide()
	}
	want := entries(last[names[0]])
	for _, name := range names[1:] {
		have := entries(last[name])
		for key := range union(have, want) {
			r.Examined++
			if have[key] != want[key] {
				r.violated("%s = %q in %s, %q in %s", key, want[key], names[0], have[key], name)
			}
		}
	}
	return r.decide()
}

// Recovered judges whether what faults stopped came back: none of them takes more from a node than it must stand.
func Recovered(lines []history.Line) Result {
	r := Result{Name: "nodes come back"}
	for i := range lines {
		f := lines[i].Fault
		if f == nil || !f.Ended {
			continue
		}
		if r.Examined++; f.Stuck != "" {
			r.violated("after fault %d, %s: %s", f.Number, f.Kind, f.Stuck)
		}
	}
	return r.decide()
}

// Fences judges that no region fenced itself: none was put back on old data, and each that the power failed kept what it
// had signed.
func Fences(lines []history.Line) Result {
	r := Result{Name: "no fences"}
	for i := range lines {
		l := &lines[i]
		if l.Type != history.Stated || l.State == nil {
			continue
		}
		if r.Examined++; l.State.Fences > 0 {
			r.violated("%s fenced itself %d times: it took a head that it never signed, or lost what it had signed", l.Region, l.State.Fences)
		}
	}
	return r.decide()
}
