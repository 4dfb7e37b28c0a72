package state

import (
	"time"

	"supercluster/region/record"
)

// Small are limits that a test can reach.
type Small struct {
	RangeKeys, ReadBytes, EntryReadBytes int
	Requests                             uint64
	RequestAge                           time.Duration
	History                              uint64
}

// ApplySmall is Apply with small limits.
func ApplySmall(kv KV, index uint64, e *record.Entry, s Small) (Outcome, error) {
	return apply(&Scratch{}, kv, index, e, limits{
		rangeKeys: s.RangeKeys, readBytes: s.ReadBytes, entryReadBytes: s.EntryReadBytes, requests: s.Requests,
		requestNanos: int64(s.RequestAge), history: s.History,
	})
}

// TenantValue and NamespaceValue are what Apply stores when a creation has no value.
var (
	TenantValue    = tenantValue
	NamespaceValue = namespaceValue
)

// TrimEvery is how many rows a config record may have more than it must.
const TrimEvery = trimEvery
