// Package monitor says how the monitor of the Go runtime shares the processors with everything else.
//
// The monitor is a thread of its own. While anything of the process runs it wakes each 20 us, or as much later as timers may be
// late, and looks for processors to take from threads that wait in the kernel. A scheduler that gives all threads short slices
// lets it in before the thread that works, each time. With a longer slice it waits until there is room, and still gets its share.
// While the processors have no room for long it comes late then, and what waits for a processor that a thread in the kernel holds
// comes late with it: for such times the slice is the usual one.
//
// The package changes that one thread and nothing else. It may be called by anybody, concurrently.
package monitor
