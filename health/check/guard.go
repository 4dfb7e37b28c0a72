package check

import "time"

// Guard decides whether a batch of expiring TTL checks is believed. Many instances that fall silent together, or an
// owner that did not run for a while, rather mean that the owner could not hear: such a batch is held for one TTL,
// once.
type Guard struct {
	// MaxGap is how long the owner may have been away from its loop; a longer pause holds what expires after it.
	MaxGap time.Duration
	// Percent is the share of all sessions that may expire in one pass.
	Percent int
	// Minimum is the number of sessions below which Percent is not applied: of three instances two may well die.
	Minimum int
}

// Hold reports whether the expiries of one pass are to be held: the owner's loop paused for gap, and of all its
// sessions this many would expire.
func (g Guard) Hold(gap time.Duration, expiring, sessions int) bool {
	if expiring == 0 {
		return false
	}
	if gap > g.MaxGap {
		return true
	}
	return sessions >= g.Minimum && expiring*100 > sessions*g.Percent
}
