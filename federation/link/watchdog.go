package link

import "time"

// maxFeeds bounds how many feeds a link watches; more are not watched.
const maxFeeds = 1024

// watchdog notices feeds of a link that are behind their head and do not advance. It has no clock of its own.
type watchdog struct {
	patience time.Duration
	feeds    map[string]*feedState
}

type feedState struct {
	head, applied uint64
	since         time.Time // of the last advance, or of falling behind
}

// stall says which feed stands still.
type stall struct {
	feed          string
	head, applied uint64
	lasted        time.Duration
}

// report takes positions; it answers whether the feed advanced, or has nothing to wait for. Positions that go back,
// as they do with a new incarnation, are no advance.
func (w *watchdog) report(feed string, head, applied uint64, now time.Time) bool {
	f := w.feeds[feed]
	if f == nil {
		if len(w.feeds) >= maxFeeds {
			return false
		}
		if w.feeds == nil {
			w.feeds = map[string]*feedState{}
		}
		w.feeds[feed] = &feedState{head: head, applied: applied, since: now}
		return applied >= head
	}
	good := applied > f.applied || applied >= head
	if good || f.applied >= f.head {
		f.since = now
	}
	f.head, f.applied = head, applied
	return good
}

// check gives the feed that has stood still for the longest time over the patience.
func (w *watchdog) check(now time.Time) (worst stall, stalled bool) {
	for name, f := range w.feeds {
		lasted := now.Sub(f.since)
		if f.applied < f.head && lasted >= w.patience && (!stalled || lasted > worst.lasted) {
			worst, stalled = stall{feed: name, head: f.head, applied: f.applied, lasted: lasted}, true
		}
	}
	return worst, stalled
}

// reset forgets everything, for a new connection.
func (w *watchdog) reset() { clear(w.feeds) }
