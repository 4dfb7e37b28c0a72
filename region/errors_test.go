package region

import (
	"testing"

	"supercluster/internal/fault"
	"supercluster/region/record"
)

// A group that the window no longer remembers may have run: whoever hears that nothing was done runs it twice.
func TestStatusFault_ForgottenGroupMayHaveRun(t *testing.T) {
	stale := record.Result{Status: record.StatusStale, Detail: "group 7 of replica 1 is no longer remembered"}
	for op, want := range map[record.OpType]fault.Kind{
		record.OpTxn: fault.OutcomeUnknown, record.OpCompact: fault.OutcomeUnknown,
		record.OpTick: fault.Conflict, record.OpClaim: fault.Conflict,
	} {
		if err := statusFault(&record.Op{Type: op}, &stale); !fault.Is(err, want) {
			t.Errorf("operation %d: %v, want %v", op, err, want)
		}
	}
}
