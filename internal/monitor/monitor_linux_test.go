package monitor

import (
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// sleeps are the numbers of nanosleep and clock_nanosleep. The monitor is nearly always in one of them while the process works;
// other threads of the runtime are for a moment, now and then.
var sleeps = map[string][]string{"amd64": {"35", "230"}, "arm64": {"101", "115"}}

func TestThread_IsTheOneThatSleepsMostWhileTheProcessWorks(t *testing.T) {
	const enough = 50 // times that a thread was seen asleep
	numbers, known := sleeps[runtime.GOARCH]
	if !known {
		t.Fatalf("the numbers of nanosleep on %s are not in the table", runtime.GOARCH)
	}
	tid, err := thread()
	if err != nil {
		t.Fatal(err)
	}
	asleep := map[string]int{}
	for deadline := time.Now().Add(20 * time.Second); time.Now().Before(deadline); { // it works all the time
		threads, err := os.ReadDir(tasks)
		if err != nil {
			t.Fatal(err)
		}
		for _, thread := range threads {
			b, err := os.ReadFile(filepath.Join(tasks, thread.Name(), "syscall"))
			if err != nil {
				continue // it has ended
			}
			if number, _, _ := strings.Cut(string(b), " "); !slices.Contains(numbers, number) {
				continue
			}
			if asleep[thread.Name()]++; asleep[thread.Name()] < enough {
				continue
			}
			if thread.Name() != strconv.Itoa(tid) {
				t.Errorf("thread %s sleeps, not %d: %v", thread.Name(), tid, asleep)
			}
			return
		}
	}
	t.Errorf("no thread was seen asleep %d times: %v", enough, asleep)
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
