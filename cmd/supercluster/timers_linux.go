package main

import (
	"os"
	"runtime"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

const (
	// usualSlack is by how much Linux lets a timer be late if nobody says anything else.
	usualSlack = 50 * time.Microsecond
	// serverSlack is the same for a server. The runtime's monitor sleeps for 20 us at a time while anything runs: in three
	// regions of three under load these were half of all switches between threads (ADR 0016). No timer of ours is
	// shorter than a millisecond.
	serverSlack = 500 * time.Microsecond
	// begunAnew is the environment variable that tells this program that it began anew: where a slack gets lost on the
	// way it would do so forever.
	begunAnew = "_SUPERCLUSTER_BEGUN_ANEW"
)

// relaxTimers begins this program anew with timers that may be late by serverSlack, and returns only where that can not be
// done or was done. A thread has its slack from the one that made it, and the monitor's is made before any code of
// ours runs; but a program has it from the one before it in the same process. A slack that somebody chose, by
// TimerSlackNSec of systemd say, is left alone.
func relaxTimers() {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	if _, begun := os.LookupEnv(begunAnew); begun {
		_ = os.Unsetenv(begunAnew) // not for processes that this one starts
		return
	}
	if timerSlack() != usualSlack {
		return
	}
	path, err := os.Executable()
	if err != nil || !setTimerSlack(serverSlack) {
		return
	}
	_ = syscall.Exec(path, os.Args, append(os.Environ(), begunAnew+"=1")) // it does not return, or the program goes on as it is
	setTimerSlack(usualSlack)
}

// timerSlack is by how much timers of this thread may be late; 0 if that is not known.
func timerSlack() time.Duration {
	slack, err := unix.PrctlRetInt(unix.PR_GET_TIMERSLACK, 0, 0, 0, 0)
	if err != nil {
		return 0
	}
	return time.Duration(slack)
}

// setTimerSlack reports whether timers of this thread may be late by d now.
func setTimerSlack(d time.Duration) bool {
	return unix.Prctl(unix.PR_SET_TIMERSLACK, uintptr(d), 0, 0, 0) == nil && timerSlack() == d
}
