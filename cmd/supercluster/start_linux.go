package main

import (
	"bytes"
	"os"
	"strconv"
	"time"

	"golang.org/x/sys/unix"
)

// clockTicks is how many ticks a second /proc counts in; Linux fixes it for programs.
const clockTicks = 100

// processStart is when the kernel started this process, so that the runtime's own start counts too. now is taken
// when that is not known.
func processStart(now time.Time) time.Time {
	stat, err := os.ReadFile("/proc/self/stat")
	if err != nil {
		return now
	}
	// The name, in parentheses, may hold anything; the 20th field after it is the start in ticks since boot.
	fields := bytes.Fields(stat[bytes.LastIndexByte(stat, ')')+1:])
	if len(fields) < 20 {
		return now
	}
	ticks, err := strconv.ParseInt(string(fields[19]), 10, 64)
	var up unix.Timespec
	if err != nil || unix.ClockGettime(unix.CLOCK_BOOTTIME, &up) != nil {
		return now
	}
	age := time.Duration(up.Nano()) - time.Duration(ticks)*time.Second/clockTicks
	if age < 0 || age > time.Minute {
		return now
	}
	return now.Add(-age)
}
