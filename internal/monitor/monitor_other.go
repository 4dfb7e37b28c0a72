//go:build !linux

package monitor

import "time"

const usual = 0

// Slice does nothing: only Linux gives threads slices.
func Slice(time.Duration) error { return nil }
