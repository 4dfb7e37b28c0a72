package region

import (
	"strings"
	"testing"

	"supercluster/internal/fault"
	"supercluster/region/record"
)

func TestStatusFault_EveryStatusHasAKind(t *testing.T) {
	want := map[record.Status]fault.Kind{
		record.StatusInvalid: fault.Invalid, record.StatusTooLarge: fault.TooLarge, record.StatusNotFound: fault.NotFound,
		record.StatusExists: fault.Exists, record.StatusNotEmpty: fault.Conflict, record.StatusCompacted: fault.Compacted,
		record.StatusFuture: fault.FutureRevision, record.StatusNoSpace: fault.Exhausted,
		record.StatusIdempotencyExpired: fault.IdempotencyExpired, record.StatusStale: fault.OutcomeUnknown,
		record.StatusQuota: fault.Exhausted, record.StatusDenied: fault.Denied,
	}
	op := record.Op{Type: record.OpTxn}
	if err := statusFault(&op, &record.Result{}); err != nil {
		t.Errorf("OK: %v", err)
	}
	for status := record.StatusInvalid; status <= record.StatusDenied; status++ {
		for _, detail := range []string{"", "the name is taken"} {
			err := statusFault(&op, &record.Result{Status: status, Detail: detail, Revision: 7})
			e, ok := fault.As(err)
			if !ok || e.Kind != want[status] || e.Revision != 7 || !strings.Contains(e.Text(), detail) || e.Message == "" {
				t.Errorf("status %d: %v", status, err)
			}
		}
	}
	tick := record.Op{Type: record.OpTick}
	if err := statusFault(&tick, &record.Result{Status: record.StatusStale}); !fault.Is(err, fault.Conflict) {
		t.Errorf("a stale tick: %v", err)
	}
	if err := statusFault(&op, &record.Result{Status: 200}); !fault.Is(err, fault.Internal) {
		t.Errorf("an unknown status: %v", err)
	}
}
