//go:build !fednext

package federation

import "context"

// laterDuty is what the next release does besides; this one does nothing.
func (f *Federation) laterDuty(context.Context) error { return nil }
