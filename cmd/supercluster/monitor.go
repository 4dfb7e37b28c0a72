package main

import (
	"time"

	"supercluster/internal/monitor"
)

// How the monitor of the runtime waits for what works (ADR 0018). While a region catches up it does not: the processors have no
// room for long then, and local writes came late that waited for one which a thread held that waited for the disk.
const (
	monitorSlice = 20 * time.Millisecond
	hurryFor     = 2 * time.Second // after each operation that is part of catching up
)

// runtimeMonitor is that of this process, while it serves; nil: it is as the system has it.
var runtimeMonitor *monitor.Waiting

// letMonitorWait does so from now on. Where the system does not let it, the process goes on as it is.
func letMonitorWait() { runtimeMonitor = monitor.Wait(monitorSlice) }

// catchingUp is called with each operation that is part of catching up with another region.
func catchingUp() { runtimeMonitor.Hurry(hurryFor) }
