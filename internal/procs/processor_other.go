//go:build !linux

package procs

// onProcessor runs a function; there is no way to hold a process to a processor here.
func onProcessor(_ int, fn func() error) error { return fn() }
