package link

import (
	"fmt"
	"time"

	"supercluster/internal/fault"
)

// State is how a link is.
type State uint8

// The states.
const (
	Connecting State = iota // there is no connection, and another attempt will be made soon
	Up                      // there is a connection, and positions advance
	Stalled                 // positions stood still; until one advances again, connected or not
	Refused                 // the peer, or this end, refuses: people must repair that. Attempts go on, slowly
)

// String gives the name of the state.
func (s State) String() string {
	switch s {
	case Connecting:
		return "connecting"
	case Up:
		return "up"
	case Stalled:
		return "stalled"
	case Refused:
		return "refused"
	default:
		return "unknown"
	}
}

// Status says how a link is.
type Status struct {
	Region   [16]byte
	State    State
	Since    time.Time // of the state
	Err      error     // the last one, also while the link is up again; nil when there was none
	Attempts int       // to connect, since the link was last up
	Stalls   int       // connections ended by the watchdog
	Address  string    // of the connection; empty without one
	Peer     Peer      // of the connection; zero without one
	Stats    Stats     // of the connections now
}

// Status gives the status of the link.
func (l *Link) Status() Status {
	l.mu.Lock()
	defer l.mu.Unlock()
	s := l.status
	if l.conn == nil {
		s.Address, s.Peer = "", Peer{}
		return s
	}
	s.Peer, s.Stats = l.conn.Peer(), l.conn.Stats()
	for _, c := range l.extras {
		s.Stats.add(c.Stats())
	}
	return s
}

func (s *Stats) add(o Stats) {
	s.RTT = min(s.RTT, o.RTT)
	s.WireIn, s.WireOut = s.WireIn+o.WireIn, s.WireOut+o.WireOut
	s.PayloadIn, s.PayloadOut = s.PayloadIn+o.PayloadIn, s.PayloadOut+o.PayloadOut
	s.PacketsOut, s.Lost = s.PacketsOut+o.PacketsOut, s.Lost+o.Lost
	s.Connections += o.Connections
}

// Progress tells the position of a feed: the head that the peer named and what is applied here. A link is up only
// while what is behind advances. A snapshot that is being applied reports its chunks as a feed of their own.
func (l *Link) Progress(feed string, head, applied uint64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.conn == nil {
		return
	}
	now := time.Now()
	l.heard = now
	if l.dog.report(feed, head, applied, now) && l.status.State == Stalled {
		l.enter(Up)
	}
}

// Backlog says whether much is to be fetched from the peer.
func (l *Link) Backlog(much bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.backlog = much
}

// enter changes the state. The lock is held.
func (l *Link) enter(s State) {
	if s == Up {
		l.status.Attempts = 0
	}
	if l.status.State != s {
		l.log.Info("link to a region", "region", fmt.Sprintf("%x", l.cfg.Region), "state", s.String(), "was", l.status.State.String())
		l.status.State, l.status.Since = s, time.Now()
	}
}

// connected begins the use of a connection. A link that stalled stays so until something advances.
func (l *Link) connected(c *Conn, address string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.conn, l.status.Address = c, address
	l.dog.reset()
	l.heard = time.Now()
	if l.status.State != Stalled {
		l.enter(Up)
	}
}

// overdue says that positions stand still; nil when they do not.
func (l *Link) overdue(now time.Time) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	var err error
	if s, stalled := l.dog.check(now); stalled {
		err = fault.New(fault.Unavailable, "feed %s stands at %d of %d for %v", s.feed, s.applied, s.head, s.lasted.Round(time.Millisecond))
	} else if l.cfg.Silence > 0 && now.Sub(l.heard) >= l.cfg.Silence {
		err = fault.New(fault.Unavailable, "no progress was reported for %v", l.cfg.Silence)
	}
	if err != nil {
		l.status.Stalls++
		l.status.Err = err
		l.end.metrics.stalls.Add(1)
		l.enter(Stalled)
	}
	return err
}

// failed notes why there is no connection, and reports whether trying again soon is hopeless.
func (l *Link) failed(err error) (refused bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if err == nil {
		err = fault.New(fault.Unavailable, "the connection was not used any more")
	}
	refused = hopeless(err)
	if l.status.Err == nil || l.status.Err.Error() != err.Error() {
		l.log.Warn("no connection to a region", "region", fmt.Sprintf("%x", l.cfg.Region), "error", err)
	}
	l.status.Err = err
	switch {
	case refused:
		l.enter(Refused)
	case l.status.State != Stalled:
		l.enter(Connecting)
	}
	return refused
}
