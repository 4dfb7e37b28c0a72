package wan

import (
	"runtime"
	"time"

	"golang.org/x/sys/unix"
)

// A line that is late because the servers under test have both processors measures the machine, not them: a wide-area network
// shares no processor with its hosts. So what carries packets runs on threads of its own, before all others, and has room in the
// runtime whatever else this process does.

// urgent gives the calling goroutine such a thread, which ends with it. Processes started meanwhile are as urgent as ever. Without
// the right to ask for it, packets are as late as the machine makes them.
func urgent() {
	runtime.LockOSThread()
	_ = unix.SchedSetAttr(0, &unix.SchedAttr{
		Size: unix.SizeofSchedAttr, Policy: unix.SCHED_RR, Priority: 1, Flags: unix.SCHED_FLAG_RESET_ON_FORK,
	}, 0)
}

// room lets so many more threads run Go code at once.
func room(threads int) { runtime.GOMAXPROCS(runtime.GOMAXPROCS(0) + threads) }

// alarm ends a wait in the kernel.
type alarm struct{ fd int }

func newAlarm() (alarm, error) {
	fd, err := unix.Eventfd(0, unix.EFD_NONBLOCK|unix.EFD_CLOEXEC)
	return alarm{fd}, err
}

func (a alarm) ring() { _, _ = unix.Write(a.fd, []byte{1, 0, 0, 0, 0, 0, 0, 0}) } // it fails only when it rings already

func (a alarm) close() { _ = unix.Close(a.fd) }

// wait waits in the kernel, with nanoseconds, until the alarm rings, a file can be read, or the time is over. The runtime's own
// timers are a millisecond late on an idle machine, and what it polls is handed from thread to thread. A file below 0 is none.
func (a alarm) wait(file int, atMost time.Duration) (readable bool) {
	poll := []unix.PollFd{{Fd: int32(a.fd), Events: unix.POLLIN}, {Fd: int32(file), Events: unix.POLLIN}}
	limit := unix.NsecToTimespec(int64(atMost))
	if n, _ := unix.Ppoll(poll, &limit, nil); n <= 0 {
		return false
	}
	if poll[0].Revents != 0 {
		var drain [8]byte
		_, _ = unix.Read(a.fd, drain[:])
	}
	return poll[1].Revents != 0
}
