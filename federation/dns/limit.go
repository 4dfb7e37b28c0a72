package dns

import (
	"hash/maphash"
	"net/netip"
	"sync/atomic"
	"time"
)

// limitSlots is the size of the table of sources: 512 KiB, whoever asks.
const limitSlots = 1 << 16

// limiter bounds the queries that a source gets answered. For each source it keeps when its next query would be on
// time at the allowed rate (the generic cell rate algorithm): one number, changed by one atomic operation. Sources
// share slots by a random hash; two busy ones that do share one limit.
type limiter struct {
	every int64 // nanoseconds between queries; 0: no limit
	burst int64
	seed  maphash.Seed
	slots []atomic.Int64
}

func newLimiter(perSecond int) *limiter {
	if perSecond < 0 {
		return &limiter{}
	}
	return &limiter{
		every: max(int64(time.Second)/int64(perSecond), 1),
		burst: int64(time.Second),
		seed:  maphash.MakeSeed(),
		slots: make([]atomic.Int64, limitSlots),
	}
}

// allow takes one query of a source at a time in nanoseconds.
func (l *limiter) allow(source netip.Addr, now int64) bool {
	if l.every == 0 {
		return true
	}
	slot := &l.slots[maphash.Comparable(l.seed, network(source))%limitSlots]
	for {
		due := slot.Load()
		at := max(due, now)
		if at-now >= l.burst {
			return false
		}
		if slot.CompareAndSwap(due, at+l.every) {
			return true
		}
	}
}

// network is what counts as one source: an IPv4 address, or an IPv6 network of 64 bits, of which anybody has plenty
// of addresses.
func network(a netip.Addr) [8]byte {
	if a = a.Unmap(); a.Is4() {
		b := a.As4()
		return [8]byte{4: b[0], 5: b[1], 6: b[2], 7: b[3]}
	}
	b := a.As16()
	return [8]byte(b[:8])
}
