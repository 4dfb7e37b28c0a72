package main

import (
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"strconv"
	"strings"
	"testing"
	"time"
)

// TestRelaxTimers_OfAServerUnlessChosen starts dev as a process of its own, with the usual slack and with one that was chosen.
func TestRelaxTimers_OfAServerUnlessChosen(t *testing.T) {
	for _, test := range []struct{ given, want time.Duration }{
		{usualSlack, serverSlack}, {120 * time.Microsecond, 120 * time.Microsecond},
	} {
		t.Run(test.given.String(), func(t *testing.T) {
			pid := startDevWith(t, test.given)
			threads, err := os.ReadDir(fmt.Sprintf("/proc/%d/task", pid))
			if err != nil {
				t.Fatal(err)
			}
			for _, thread := range threads {
				text, err := os.ReadFile(fmt.Sprintf("/proc/%s/timerslack_ns", thread.Name()))
				if os.IsPermission(err) {
					t.Skipf("SKIP: the slack of another process is for root to read: %v", err)
				}
				if os.IsNotExist(err) {
					continue // it has ended meanwhile
				}
				if err != nil {
					t.Fatal(err)
				}
				if ns, err := strconv.Atoi(strings.TrimSpace(string(text))); err != nil || time.Duration(ns) != test.want {
					t.Errorf("thread %s: %s (%v), want %v", thread.Name(), text, err, test.want)
				}
			}
		})
	}
}

// startDevWith starts dev from a thread with a slack, and waits until it is ready.
func startDevWith(t *testing.T, slack time.Duration) (pid int) {
	t.Helper()
	listeners, _, err := freeListeners()
	if err != nil {
		t.Fatal(err)
	}
	args := append([]string{"dev", "--data-dir", t.TempDir()}, listeners...)
	cmd := exec.CommandContext(t.Context(), "supercluster", args...)
	out := &untilReady{ready: make(chan struct{})}
	cmd.Stdout = out
	cmd.Cancel = func() error { return cmd.Process.Signal(os.Interrupt) }
	cmd.WaitDelay = 20 * time.Second
	runtime.LockOSThread() // the child has the slack of the thread that makes it
	before := timerSlack()
	if !setTimerSlack(slack) {
		t.Fatal("the slack of this thread cannot be set")
	}
	err = cmd.Start()
	setTimerSlack(before)
	runtime.UnlockOSThread()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = cmd.Wait() })
	select {
	case <-out.ready:
	case <-time.After(30 * time.Second):
		t.Fatal("dev is not ready")
	}
	return cmd.Process.Pid
}
