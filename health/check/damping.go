package check

import "time"

// Damping holds back the recovery of a check that flaps, as BGP damps routes: each fall adds Penalty, the sum halves
// every HalfLife, and once it is above Suppress the check stays critical until it is below Reuse. The zero value is
// off, and it is the default: an instance that is back should get traffic.
type Damping struct {
	Penalty  uint32
	Suppress uint32
	Reuse    uint32
	HalfLife time.Duration
}

// flaps is the memory of damping: a penalty as of a time.
type flaps struct {
	penalty uint32
	at      time.Time
	held    bool
}

// maxPenalty bounds how long a check can be held: from here to a Reuse of 1 it takes 16 half-lives.
const maxPenalty = 1 << 16

func (d Damping) on() bool { return d.Penalty > 0 && d.HalfLife > 0 }

// add counts one fall.
func (f flaps) add(now time.Time, d Damping) flaps {
	if !d.on() {
		return flaps{}
	}
	sum := min(uint64(f.level(now, d))+uint64(d.Penalty), maxPenalty)
	return flaps{penalty: uint32(sum), at: now, held: f.held || sum > uint64(d.Suppress)}
}

// suppressed reports whether a recovery is to wait.
func (f flaps) suppressed(now time.Time, d Damping) bool {
	return d.on() && f.held && f.level(now, d) >= max(d.Reuse, 1)
}

// level is the penalty that is left: halved for each whole half-life, and in a straight line within one.
func (f flaps) level(now time.Time, d Damping) uint32 {
	elapsed := now.Sub(f.at)
	if f.penalty == 0 || elapsed <= 0 {
		return f.penalty
	}
	halves := elapsed / d.HalfLife
	if halves >= 32 {
		return 0
	}
	p := uint64(f.penalty) >> uint(halves)
	rest := uint64(elapsed % d.HalfLife)
	return uint32(p - p*(rest>>10)/2/max(uint64(d.HalfLife)>>10, 1))
}
