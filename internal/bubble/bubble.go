// Package bubble runs a test in virtual time: testing/synctest, made safe under the race detector.
//
// In a race build every timer of a bubble runs in one context of the detector, and the runtime lets two threads be in
// it at once: the one that wakes sleepers, and a goroutine just woken that finds the channel of its own expired timer
// full. The detector then crashes by SIGSEGV or a failed CHECK of its own (golang/go#78156, seen with Go 1.26.8 in
// about one of fifty runs of package health). With one processor the two cannot meet; races are found all the same,
// since the detector goes by happens-before and not by what really ran at once.
//
// It is used by tests only, which never call synctest.Test themselves: internal/lint says so. A test that uses it must
// not be parallel, since the number of processors belongs to the whole process.
package bubble

import (
	"runtime"
	"testing"
	"testing/synctest"
)

// Test runs f in a bubble of its own, as synctest.Test does. It fails the test when that is parallel.
func Test(t *testing.T, f func(t *testing.T)) {
	t.Helper()
	if raceBuild {
		// Setenv refuses a parallel test: the processors taken here would be given back under another one's feet.
		t.Setenv("SUPERCLUSTER_BUBBLE", t.Name())
		defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(1))
	}
	synctest.Test(t, f)
}
