package node

import (
	"strings"
	"testing"

	"supercluster/internal/fault"
)

// A state may lack the end of the log, and never has more than the log: the log is written first.
func TestGuard_LogReachesTheState(t *testing.T) {
	for entries, states := range map[int]map[uint64]bool{5: {0: true, 4: true, 5: true, 6: false}, 0: {0: true, 1: false}} {
		log := openTan(t, entries, 10).(*tanLog)
		for index, right := range states {
			err := (&guard{tan: log, replica: 1}).reaches(index)
			if right && err != nil || !right && !fault.Is(err, fault.Corrupt) {
				t.Errorf("a state at %d with a log of %d entries: %v", index, entries, err)
			}
			if !right && !strings.Contains(err.Error(), "lost what it was told to keep") {
				t.Errorf("%v", err)
			}
		}
	}
}
