package wan

import (
	"math/rand/v2"
	"time"
)

// Line is one direction between two sites. The zero Line delivers at once.
type Line struct {
	Delay   time.Duration // one way
	Loss    float64       // share of the packets that are lost, 0 to 1
	Reorder float64       // share of the packets that are held back by HoldBack, so that later ones pass them
	Rate    int64         // bytes a second; 0 has no cap
	Cut     bool          // nothing passes
}

const (
	// HoldBack is how much later a reordered packet is.
	HoldBack = 5 * time.Millisecond
	// maxQueue is how far behind a capped line may be before it drops: the buffer of its router, as time.
	maxQueue = 200 * time.Millisecond
	// maxWaiting bounds the packets under way in one direction.
	maxWaiting = 1 << 16
)

// Stats is what happened to the packets of one direction.
type Stats struct {
	Packets, Bytes   int64 // that came in
	Delivered        int64
	DeliveredBytes   int64
	Lost, CutOff     int64 // by Loss, by Cut
	Overrun          int64 // because too much waited
	Reordered        int64
	MaxLate, SumLate time.Duration // how much later than meant they were delivered
}

// direction decides the fate of packets, in the order in which they come. Its owner locks.
type direction struct {
	line    Line
	stats   Stats
	random  *rand.Rand
	free    time.Time // when a capped line can send the next packet
	waiting int
	cuts    int // how often it was cut: packets of before are dropped
}

func newDirection(seed uint64) *direction {
	return &direction{random: rand.New(rand.NewPCG(seed, 0x5c))}
}

// set changes the line. What is under way arrives as it was meant to, unless the line is cut.
func (d *direction) set(l Line) {
	if l.Cut && !d.line.Cut {
		d.cuts++
	}
	d.line = l
}

// take says when a packet of n bytes arrives; false: never.
func (d *direction) take(now time.Time, n int) (due time.Time, ok bool) {
	d.stats.Packets++
	d.stats.Bytes += int64(n)
	l := d.line
	if l.Cut {
		d.stats.CutOff++
		return due, false
	}
	if l.Loss > 0 && d.random.Float64() < l.Loss {
		d.stats.Lost++
		return due, false
	}
	due = now
	if l.Rate > 0 {
		if d.free.After(due) {
			due = d.free
		}
		if due.Sub(now) > maxQueue {
			d.stats.Overrun++
			return due, false
		}
		due = due.Add(time.Duration(float64(n) / float64(l.Rate) * float64(time.Second)))
		d.free = due
	}
	if d.waiting >= maxWaiting {
		d.stats.Overrun++
		return due, false
	}
	due = due.Add(l.Delay)
	if l.Reorder > 0 && d.random.Float64() < l.Reorder {
		d.stats.Reordered++
		due = due.Add(HoldBack)
	}
	d.waiting++
	return due, true
}

// arrive counts a packet whose time has come; false: the line was cut meanwhile.
func (d *direction) arrive(now, due time.Time, n, cuts int) bool {
	d.waiting--
	if cuts != d.cuts {
		d.stats.CutOff++
		return false
	}
	late := now.Sub(due)
	d.stats.SumLate += late
	d.stats.MaxLate = max(d.stats.MaxLate, late)
	d.stats.Delivered++
	d.stats.DeliveredBytes += int64(n)
	return true
}
