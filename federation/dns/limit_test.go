package dns

import (
	"net/netip"
	"testing"
	"time"
)

func TestLimiter(t *testing.T) {
	l := newLimiter(100)
	one, two := netip.MustParseAddr("192.0.2.1"), netip.MustParseAddr("192.0.2.2")
	allowed := func(a netip.Addr, from, to time.Duration) (n int) {
		for now := from; now < to; now += time.Millisecond {
			if l.allow(a, int64(now)) {
				n++
			}
		}
		return n
	}
	// A second's worth at once, then the rate.
	if n := allowed(one, 0, 100*time.Millisecond); n != 100 {
		t.Errorf("burst: %d of 100 queries allowed", n)
	}
	if n := allowed(one, 100*time.Millisecond, 2100*time.Millisecond); n < 195 || n > 215 {
		t.Errorf("2 s at ten times the rate: %d queries allowed, want about 210", n)
	}
	if n := allowed(two, 2100*time.Millisecond, 2150*time.Millisecond); n != 50 {
		t.Errorf("another source: %d of 50 queries allowed", n)
	}
	if n := allowed(one, time.Minute, time.Minute+50*time.Millisecond); n != 50 {
		t.Errorf("after a rest: %d of 50 queries allowed", n)
	}
}

func TestLimiter_Off(t *testing.T) {
	l := newLimiter(-1)
	for range 100000 {
		if !l.allow(netip.MustParseAddr("192.0.2.1"), 0) {
			t.Fatal("a query was refused without a limit")
		}
	}
}

func TestNetwork(t *testing.T) {
	tests := []struct {
		a, b string
		same bool
	}{
		{"192.0.2.1", "::ffff:192.0.2.1", true},
		{"192.0.2.1", "192.0.2.2", false},
		{"2001:db8::1", "2001:db8::ffff:1", true},
		{"2001:db8::1", "2001:db8:0:1::1", false},
		{"fe80::1%eth0", "fe80::2%eth1", true},
	}
	for _, tt := range tests {
		if got := network(netip.MustParseAddr(tt.a)) == network(netip.MustParseAddr(tt.b)); got != tt.same {
			t.Errorf("network(%s) == network(%s): %v", tt.a, tt.b, got)
		}
	}
}
