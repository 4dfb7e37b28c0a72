package link

import (
	"math"
	"time"
)

// maxConnections is how many connections one link has at most.
const maxConnections = 4

const (
	spreadEvery = 2 * time.Second  // between steps
	spreadHold  = 30 * time.Second // after an extra connection that gained nothing, or since it was needed last
	spreadGain  = 1.1              // what the next connection must bring, as a factor
)

// A connection begins with a window of 32 packets and has 22 after a loss; on a long path it takes seconds to win back what
// it lost, one packet for each round trip. One that needs no more than aloneBytes on their way, 4 packets, does not
// notice; on a path shorter than farAway nobody does. With two, each also carries copies of what goes over the other: a far
// peer always has two, for the first changes after a pause are not to wait for one to be dialed, which takes two round trips.
const (
	needEvery  = 200 * time.Millisecond // between looks at what is needed
	aloneBytes = 4 * 1252
	farLeast   = 2 // connections to a far peer, also when nothing comes
	farAway    = 50 * time.Millisecond
)

// spread decides how many connections a link has. QUIC's congestion control cuts its window at a loss, so that on a path
// that loses packets a connection carries much less than its flow-control window; then more connections carry more.
// Measured with a round trip of 100 ms, in KiB/s over 1, 2 and 4 connections:
//
//	no loss  16,292  32,400  65,000
//	0.01 %    2,830   6,028  10,216
//	0.1 %       694   1,381   2,790
//	1 %         199     406     800
//
// While a backlog is fetched it climbs as long as another connection gains something. Without one it gives a steady stream
// as many connections as keep a loss from becoming a queue. It has no clock of its own.
type spread struct {
	window int     // of flow control, for one connection
	want   int     // for a backlog
	before float64 // rate with one connection less; 0: the last step was not up
	until  time.Time

	need   int       // for what comes steadily
	needed time.Time // when so many were needed last
}

// steady takes what came in an interval in bytes per second, and gives the connections that carry it although packets are
// lost. Fewer are wanted only when they were enough for a while.
func (s *spread) steady(now time.Time, rate float64, rtt time.Duration) int {
	need := 1
	if rtt >= farAway {
		need = min(max(int(math.Ceil(rate*rtt.Seconds()/aloneBytes)), farLeast), maxConnections)
	}
	if need >= s.need || now.Sub(s.needed) >= spreadHold {
		s.need, s.needed = need, now
	}
	return s.need
}

// step takes the rate of the last interval in bytes per second, and gives the connections wanted for a backlog.
func (s *spread) step(now time.Time, backlog bool, rate float64, rtt time.Duration) int {
	s.want = max(s.want, 1)
	switch {
	case !backlog:
		s.want, s.before, s.until = 1, 0, time.Time{}
	case s.before > 0 && rate < spreadGain*s.before:
		s.want, s.before, s.until = s.want-1, 0, now.Add(spreadHold)
	case now.Before(s.until) || s.want == maxConnections:
		s.before = 0
	case rate > 0 && rate*rtt.Seconds() < float64(s.want*s.window)/2:
		s.want, s.before = s.want+1, rate
	default:
		s.before = 0
	}
	return s.want
}
