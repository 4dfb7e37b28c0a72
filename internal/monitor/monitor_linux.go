package monitor

import (
	"fmt"
	"os"
	"strconv"
	"time"

	"golang.org/x/sys/unix"
)

// tasks lists the threads of this process, in the order in which they were made.
const tasks = "/proc/self/task"

// usual is the slice that stands for that of all threads.
const usual = 0

// Slice gives the monitor a slice of the scheduler: how long it may run at a time, and by how much it may be passed over when
// others want to run. From 100 us to 100 ms; 0 is the usual one. Kernels before 6.12 take it and change nothing. Threads that the
// monitor makes have the usual slice.
func Slice(d time.Duration) error {
	tid, err := thread()
	if err != nil {
		return err
	}
	attr, err := unix.SchedGetAttr(tid, 0)
	if err != nil {
		return fmt.Errorf("the attributes of thread %d: %w", tid, err)
	}
	attr.Runtime = uint64(d)
	attr.Flags |= unix.SCHED_FLAG_RESET_ON_FORK
	if err := unix.SchedSetAttr(tid, attr, 0); err != nil {
		return fmt.Errorf("a slice of %v for thread %d: %w", d, tid, err)
	}
	return nil
}

// thread finds the monitor: the runtime makes it before it makes any other thread.
func thread() (int, error) {
	dir, err := os.Open(tasks)
	if err != nil {
		return 0, err
	}
	defer dir.Close()
	names, err := dir.Readdirnames(2)
	if err != nil {
		return 0, err
	}
	if len(names) < 2 {
		return 0, fmt.Errorf("%s: there is one thread only", tasks)
	}
	return strconv.Atoi(names[1])
}
