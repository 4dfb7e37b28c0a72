package record

// OpType is the kind of an operation in a log entry. Numbers are stored: never reused.
type OpType uint8

// The operations.
const (
	OpTxn             OpType = 1
	OpCompact         OpType = 2 // raise the floor that the API answers from
	OpPurge           OpType = 3 // remove a bounded amount of compacted history from disk
	OpClaim           OpType = 4 // a leader claims the state clock
	OpTick            OpType = 5 // the claimed leader moves the state clock
	OpCreateTenant    OpType = 6
	OpDeleteTenant    OpType = 7
	OpCreateNamespace OpType = 8
	OpDeleteNamespace OpType = 9
	OpAlarm           OpType = 10 // raise or clear a replicated alarm
	OpIdentity        OpType = 11 // the region's id, once, and its name

	// Of federation; they need feature level 2.
	OpPeer       OpType = 12 // make another region known, or forget it
	OpLink       OpType = 13 // link a tenant of another region to one of this region
	OpPlace      OpType = 14 // declare a namespace federated, or place a prefix of it
	OpSetChannel OpType = 15 // make or change a channel of this region
	OpTake       OpType = 16 // say what of another region's records is shown here
	OpWalk       OpType = 17 // one step of a backfill or remap
	OpImport     OpType = 18 // take records over from a channel of another region
	OpReplace    OpType = 19 // take over one chunk of a snapshot of such a channel
	OpFence      OpType = 20 // stop exporting
	OpMint       OpType = 21 // begin a new incarnation
	OpTrimFeed   OpType = 22 // remove the oldest records from the log of a channel
	OpHeal       OpType = 23 // a transaction that brings back what a restore lost; it passes the fence

	// They need feature level 3.
	OpWithdraw OpType = 24 // give up a channel that its home keeps from this region
)

// Op is one operation of a log entry. Exactly the field that belongs to Type is set.
type Op struct {
	Type OpType
	// Tenant is charged with the operation and bounds the request id; 0 is the system.
	Tenant uint32
	// RequestID makes the operation exactly-once; empty when the client sent none. At most 64 bytes.
	RequestID string
	// Seen is the highest data revision the client had seen when it first sent RequestID.
	Seen uint64

	Txn      *Txn
	Compact  *Compact
	Purge    *Purge
	Claim    *Claim
	Tick     *Tick
	Tenancy  *Tenancy // the four tenant and namespace operations
	Alarm    *Alarm
	Identity *Identity

	Peer       *Peer
	Link       *Link
	Place      *Place
	SetChannel *SetChannel
	Take       *Take
	Walk       *Walk
	Import     *Import
	Replace    *Replace
	SetFence   *SetFence
	Mint       *Mint
	TrimFeed   *TrimFeed
	Withdraw   *Withdraw
}

// Txn compares, then runs one of two lists, atomically. All keys are of one shard and a key changes at most once.
type Txn struct {
	Shard   uint32
	Compare []Compare
	Then    []TxnOp
	Else    []TxnOp
	Writer  Writer
	Trace   Trace
}

// CompareTarget is the part of a record that is compared.
type CompareTarget uint8

// The targets. A missing record has revisions and version 0, lease 0 and an empty value.
const (
	CompareModifyRevision CompareTarget = 1
	CompareCreateRevision CompareTarget = 2
	CompareVersion        CompareTarget = 3
	CompareLease          CompareTarget = 4
	CompareValue          CompareTarget = 5
)

// CompareOperator relates the record's part (left) to the operand (right).
type CompareOperator uint8

// The operators.
const (
	CompareEqual    CompareOperator = 1
	CompareNotEqual CompareOperator = 2
	CompareGreater  CompareOperator = 3
	CompareLess     CompareOperator = 4
)

// Compare is one condition of a transaction. A value compare on a missing record never holds, whatever the operator.
type Compare struct {
	Key      Key
	Target   CompareTarget
	Operator CompareOperator
	Number   uint64
	Value    []byte
}

// TxnOpType is the kind of one operation inside a transaction.
type TxnOpType uint8

// The operations inside a transaction. Reads see what the transaction wrote before them.
const (
	TxnPut         TxnOpType = 1
	TxnDelete      TxnOpType = 2
	TxnDeleteRange TxnOpType = 3
	TxnGet         TxnOpType = 4
	TxnRange       TxnOpType = 5
)

// TxnOp is one operation inside a transaction.
type TxnOp struct {
	Type TxnOpType
	// Key is the record of Put, Delete and Get.
	Key Key
	// Range is the range of DeleteRange and Range.
	Range Range
	Value []byte
	Lease uint64
	// Attributes of a put. The store fills Writer from the transaction for config records.
	Attributes Attributes
	// IgnoreValue and IgnoreLease keep the current ones; the record must exist.
	IgnoreValue bool
	IgnoreLease bool
	// Previous asks for the record before a put or delete in the result. Of a range delete it asks for all of them.
	Previous bool
}

// Range is the records of one kind and scope of one namespace with From <= name < To; To "" has no upper end.
type Range struct {
	Shard     uint32
	Tenant    uint32
	Namespace uint32
	Kind      Kind
	Scope     uint32
	From      string
	To        string
	// Limit bounds the records answered, or deleted by a DeleteRange; 0 is no limit. Inside a transaction a range of over
	// 10,000 records without a limit is refused.
	Limit int
	// KeysOnly leaves values out. CountOnly answers the count alone.
	KeysOnly  bool
	CountOnly bool
	// MaxBytes bounds the values answered by a read, one record at least; 0 is no bound. It is no part of a transaction,
	// which has a bound of its own, and is not encoded.
	MaxBytes int
}

// PrefixEnd gives the To of a range over all names with a prefix.
func PrefixEnd(prefix string) string {
	b := []byte(prefix)
	for i := len(b) - 1; i >= 0; i-- {
		if b[i] < 0xff {
			b[i]++
			return string(b[:i+1])
		}
	}
	return ""
}

// Compact raises the compacted revision of a shard: reads and watches before it are refused.
type Compact struct {
	Shard    uint32
	Revision uint64
}

// Purge removes history below the compacted revision, at most Changes changes in one step.
type Purge struct {
	Shard   uint32
	Changes uint32
}

// Claim makes a leader the owner of the state clock, if its term is newer. It does not move the clock.
type Claim struct {
	Term    uint64
	Replica uint64
}

// Tick moves the state clock if term and sequence fit.
type Tick struct {
	Term       uint64
	Sequence   uint64
	DeltaNanos int64
}

// Tenancy creates or deletes a tenant or namespace.
type Tenancy struct {
	Tenant    string
	Namespace string // empty in the tenant operations
	UID       [16]byte
	// Value is the stored value of a creation, built by the proposer; the numeric id is in the record's attributes
	// (Flags), set by Apply.
	Value  []byte
	Writer Writer
	Trace  Trace
}

// AlarmKind is a replicated alarm.
type AlarmKind uint8

// AlarmNoSpace refuses growth; deletes, compaction and trimming still work.
const AlarmNoSpace AlarmKind = 1

// Alarm raises or clears an alarm on behalf of a replica.
type Alarm struct {
	Kind    AlarmKind
	Replica uint64
	Raised  bool
}

// Identity gives the region its 16-byte id, once, and its name. A second id is refused; a name may change.
type Identity struct {
	RegionID [16]byte
	Name     string
}

// Status is how Apply judged an operation. Numbers are stored in the dedupe tables: never reused.
type Status uint8

// The statuses. At most 64: they share a byte with two marks.
const (
	StatusOK                 Status = 0
	StatusInvalid            Status = 1 // malformed, or a key changes twice
	StatusTooLarge           Status = 2
	StatusNotFound           Status = 3 // unknown tenant, namespace, or record of ignore_value
	StatusExists             Status = 4
	StatusNotEmpty           Status = 5
	StatusCompacted          Status = 6
	StatusFuture             Status = 7
	StatusNoSpace            Status = 8
	StatusIdempotencyExpired Status = 9
	// StatusStale is an old term or tick: no effect. Of a whole group it means an old boot, or one so late that it is no
	// longer known whether it ran: the outcome is unknown.
	StatusStale  Status = 10
	StatusQuota  Status = 11
	StatusDenied Status = 12 // a reserved or foreign record
	// StatusNotHome is a placed record whose home is another region: the detail has its id.
	StatusNotHome Status = 13
	// StatusFenced is a write that would be exported while the region is fenced.
	StatusFenced Status = 14
)

// Result is the answer of one operation.
type Result struct {
	Status Status
	// Detail says what was wrong, for people; empty when OK.
	Detail string
	// Revision is that of the operation's shard after it. With Duplicate it is what the first run got.
	Revision uint64
	// Duplicate: the request id or group sequence was known and nothing ran again. Txn then carries only Succeeded.
	Duplicate bool
	// Txn is set for transactions.
	Txn *TxnResult
	// ID is the numeric id that a creation of a tenant or namespace got.
	ID uint32
}

// TxnResult is the answer of a transaction.
type TxnResult struct {
	Succeeded bool
	// Ops has one answer for each operation of the list that ran.
	Ops []TxnOpResult
}

// TxnOpResult is the answer of one operation inside a transaction.
type TxnOpResult struct {
	// Records: the previous record (Put, Delete), the record (Get) or the records (Range, DeleteRange with Previous).
	Records []Record
	// Count: records deleted, or in the whole range.
	Count uint64
	More  bool
}

// RangeResult is the answer of a range read.
type RangeResult struct {
	Records []Record
	Count   uint64
	More    bool
}
