package procs

import (
	"runtime"

	"golang.org/x/sys/unix"
)

// onProcessor runs a function whose child processes are held to one processor: the nth that this process may use, counted
// round. A child has what the thread has that makes it.
func onProcessor(n int, fn func() error) error {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	var all, one unix.CPUSet
	if err := unix.SchedGetaffinity(0, &all); err != nil {
		return err
	}
	n %= all.Count()
	for cpu := 0; ; cpu++ {
		if !all.IsSet(cpu) {
			continue
		}
		if n == 0 {
			one.Set(cpu)
			break
		}
		n--
	}
	if err := unix.SchedSetaffinity(0, &one); err != nil {
		return err
	}
	defer func() { _ = unix.SchedSetaffinity(0, &all) }() // what was so before
	return fn()
}
