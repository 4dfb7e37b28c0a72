package record

// Kind is what a record is. Numbers are stored and travel between regions: they are never reused. The store
// keeps and relays kinds it does not know untouched.
type Kind uint16

// The kinds. System kinds, 1 to 15, live in shard 0, the rest in shard 1.
const (
	KindTenant    Kind = 1 // shard 0; name = the tenant's name
	KindNamespace Kind = 2 // shard 0, under its tenant; name = the namespace's name
	KindNode      Kind = 3 // shard 0; name = the node's name
	KindRegion    Kind = 4 // shard 0; name = the region's id in hex
	KindPlacement Kind = 5 // shard 0; name = tenant's id in hex / namespace / prefix
	// KindInvitation lets one region join: shard 0; name = SHA-256 of the secret in hex, value = its end. It never leaves.
	KindInvitation Kind = 6

	// KindSetting says who set what of the exchange with other regions, beside the rows that hold it. Shard 0; name =
	// link/region/tenant, channel/id, import/region or fence; and healing, which is the report of the last one.
	KindSetting Kind = 7

	KindService     Kind = 16 // placed; name = the service's name
	KindInstance    Kind = 17 // regional; name = service/id
	KindCheck       Kind = 18 // regional; name = service/id/check
	KindCheckStatus Kind = 19 // regional; name = service/id/check
	KindRoute       Kind = 20 // placed; name = the route's name
	KindConfig      Kind = 21 // placed; name = the entry's name
	KindSummary     Kind = 22 // regional; name = the service's name
)

// firstDataKind is the first kind of shard 1.
const firstDataKind Kind = 16

// Shard gives the shard that all records of a kind live in, also of a kind that is not known; 0 is no kind.
func (k Kind) Shard() (shard uint32, ok bool) {
	if k >= firstDataKind {
		return ShardData, true
	}
	return ShardSystem, k != 0
}

// Shards. A shard is a revision domain, not a Raft group: both are kept by Raft group 1.
const (
	ShardSystem uint32 = 0 // tenants, namespaces, nodes, alarms, feature level, the clock
	ShardData   uint32 = 1 // everything else
)

// Scopes. A placed record has one home; a regional one carries the local alias of its region.
const (
	ScopePlaced uint32 = 0
	ScopeRegion uint32 = 1 // this region
)

// Key names a record. It is comparable. Tenant and Namespace are local numeric ids that are never reused;
// 0 stands for "none" and is used by system kinds. Name is any bytes: name rules belong to the registry.
type Key struct {
	Shard     uint32
	Tenant    uint32
	Namespace uint32
	Kind      Kind
	Scope     uint32
	Name      string
}

// Position is a revision of a shard.
type Position struct {
	Shard    uint32
	Revision uint64
}

// Positions holds one revision for each shard: where a consumer of all events stands.
type Positions struct {
	System uint64
	Data   uint64
}

// Of gives the revision of one shard.
func (p Positions) Of(shard uint32) uint64 {
	if shard == ShardSystem {
		return p.System
	}
	return p.Data
}

// With returns a copy with the revision of one shard set.
func (p Positions) With(shard uint32, revision uint64) Positions {
	if shard == ShardSystem {
		p.System = revision
	} else {
		p.Data = revision
	}
	return p
}

// Covers reports whether every event at or before q is at or before p.
func (p Positions) Covers(q Positions) bool { return p.System >= q.System && p.Data >= q.Data }

// Origin says where a record that was not written here came from. Zero for local records.
type Origin struct {
	Home         [16]byte // id of the home region
	OwnerEpoch   uint64
	HomeRevision uint64
	FeedSequence uint64
	// Incarnation is that of the home whose HomeRevision it is; 0 in rows of versions that did not keep it.
	Incarnation uint64
}

// Attributes are small typed facts beside a value.
type Attributes struct {
	Format    uint8  // declared format of a config value, numbered as in the API's Format
	Flags     uint64 // Consul's KV flags
	LockIndex uint64 // Consul's lock index
	Session   string // lock holder
	Writer    Writer // who wrote it; only config keeps it in the row
}

// Writer says who made a change, when and why.
type Writer struct {
	Time    int64 // wall time of the proposer in Unix nanoseconds, for display only
	Actor   string
	Message string
}

// Record is one version of one record.
type Record struct {
	Key            Key
	Value          []byte
	CreateRevision uint64
	ModifyRevision uint64
	Version        uint64 // 1 at creation
	Lease          uint64 // 0 = none; reserved
	Origin         Origin
	Attributes     Attributes
	Deleted        bool // a tombstone: only in history and events
}

// EventType says what happened to a record.
type EventType uint8

// The event types.
const (
	EventPut    EventType = 1
	EventDelete EventType = 2
)

// Event is one change of one record. For a delete, Record has the key and revision only, and if it was of another region
// an Origin that says where that region was when the record went here: its Home, and HomeRevision and Incarnation if known.
type Event struct {
	Type   EventType
	Record Record
	// Previous is the modify revision of the row before, 0 when there was none. A tombstone is a row: a record is new when
	// its version is 1, not when Previous is 0.
	Previous uint64
}

// Trace is the trace context of the write that made a change, so that one trace shows API, log and view.
type Trace struct {
	TraceID [16]byte
	SpanID  [8]byte
	Flags   uint8
}

// Commit is all that one revision changed, in the order of the transaction. A key occurs at most once.
// Commits and everything they point to are immutable.
type Commit struct {
	Position  Position
	Writer    Writer
	Trace     Trace
	RequestID string
	Events    []Event
}

// Freshness says how new a read is.
type Freshness struct {
	// Positions are the revisions that the read showed.
	Positions Positions
	// AgeNanos is how long ago this node last knew that it was not behind, in nanoseconds; 0 for linearizable reads.
	AgeNanos int64
}

// Level is a read level.
type Level uint8

// The read levels.
const (
	LevelLocal        Level = 1
	LevelLinearizable Level = 2
)
