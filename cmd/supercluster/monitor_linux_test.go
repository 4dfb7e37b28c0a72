package main

import (
	"fmt"
	"os"
	"strconv"
	"testing"

	"golang.org/x/sys/unix"
)

// TestLetMonitorWait_OfAServer looks at the threads of a real one: one has the slice of the monitor, in the second life of the
// process that relaxTimers begins.
func TestLetMonitorWait_OfAServer(t *testing.T) {
	pid := startDevWith(t, usualSlack)
	threads, err := os.ReadDir(fmt.Sprintf("/proc/%d/task", pid))
	if err != nil {
		t.Fatal(err)
	}
	slices := map[uint64]int{}
	for _, thread := range threads {
		tid, err := strconv.Atoi(thread.Name())
		if err != nil {
			t.Fatal(err)
		}
		if attr, err := unix.SchedGetAttr(tid, 0); err == nil { // else it has ended meanwhile
			slices[attr.Runtime]++
		}
	}
	if slices[0] == len(threads) {
		return // before Linux 6.12 no thread has a slice of its own
	}
	if slices[uint64(monitorSlice)] != 1 {
		t.Errorf("threads by their slices in ns: %v; want one with %d", slices, monitorSlice.Nanoseconds())
	}
}
