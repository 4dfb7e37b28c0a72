package region

import (
	"slices"
	"testing"
	"time"

	"supercluster/region/record"
	"supercluster/region/state"
)

func TestGoneNodes(t *testing.T) {
	members := map[string]uint64{"n1": 1, "n2": 2, "n3": 3}
	heard := func(name string) (time.Duration, bool) {
		switch name {
		case "n1":
			return 0, true // this node
		case "n2":
			return goneAfter + time.Second, true
		default:
			return 0, false // never
		}
	}
	var alarms []state.Alarm
	for _, replica := range []uint64{1, 2, 3, 9} {
		alarms = append(alarms, state.Alarm{Kind: record.AlarmNoSpace, Replica: replica})
	}
	if got := goneNodes(alarms, members, heard); !slices.Equal(got, []uint64{2, 3, 9}) {
		t.Errorf("gone are %v, want [2 3 9]: the one heard long ago, the one never heard and the one that is no member", got)
	}
}
