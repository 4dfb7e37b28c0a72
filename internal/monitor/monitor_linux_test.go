package monitor

import (
	"fmt"
	"os"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// sleeps are the numbers of nanosleep and clock_nanosleep. Of the runtime's threads only the monitor sleeps for a time.
var sleeps = map[string][]string{"amd64": {"35", "230"}, "arm64": {"101", "115"}}

func TestThread_IsTheOneThatSleepsWhileTheProcessWorks(t *testing.T) {
	numbers, known := sleeps[runtime.GOARCH]
	if !known {
		t.Fatalf("the numbers of nanosleep on %s are not in the table", runtime.GOARCH)
	}
	tid, err := thread()
	if err != nil {
		t.Fatal(err)
	}
	var seen []string
	for deadline := time.Now().Add(20 * time.Second); time.Now().Before(deadline); { // it works all the time
		b, err := os.ReadFile(fmt.Sprintf("%s/%d/syscall", tasks, tid))
		if err != nil {
			t.Fatal(err)
		}
		number, _, _ := strings.Cut(string(b), " ")
		if slices.Contains(numbers, number) {
			return
		}
		if !slices.Contains(seen, number) {
			seen = append(seen, number)
		}
	}
	t.Errorf("thread %d was in the calls %q, never in one of %q", tid, seen, numbers)
}

func TestSlice_IsOfTheMonitorAlone(t *testing.T) {
	tid, err := thread()
	if err != nil {
		t.Fatal(err)
	}
	usual, err := unix.SchedGetAttr(0, 0)
	if err != nil {
		t.Fatal(err)
	}
	if err := Slice(7 * time.Millisecond); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		tid   int
		slice uint64
	}{{tid, uint64(7 * time.Millisecond)}, {0, usual.Runtime}} {
		attr, err := unix.SchedGetAttr(c.tid, 0)
		if err != nil {
			t.Fatal(err)
		}
		if attr.Policy != unix.SCHED_NORMAL || usual.Runtime != 0 && attr.Runtime != c.slice { // 0: a kernel before 6.12
			t.Errorf("thread %d has policy %d and a slice of %v, want %v", c.tid, attr.Policy, time.Duration(attr.Runtime), time.Duration(c.slice))
		}
	}
}
