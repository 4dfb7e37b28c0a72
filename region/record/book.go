package record

import "encoding/binary"

// Counters is what a namespace, or a tenant (namespace 0), holds. The row exists as long as the namespace does.
type Counters struct {
	Keys    uint64 // live records
	Bytes   uint64 // rows of live records
	History uint64 // rows of older versions and of tombstones
	// MaxKeys and MaxBytes refuse growth beyond them; 0 is no limit. Only the row of a tenant has them, and no
	// operation of level 1 sets them.
	MaxKeys  uint64
	MaxBytes uint64
}

// AppendCountersKey appends the key of a counters row.
func AppendCountersKey(dst []byte, tenant, namespace uint32) []byte {
	dst = binary.BigEndian.AppendUint32(append(dst, SpaceCounters), tenant)
	return binary.BigEndian.AppendUint32(dst, namespace)
}

// DecodeCountersKey reads the key of a counters row.
func DecodeCountersKey(b []byte) (tenant, namespace uint32, err error) {
	if len(b) != 9 || b[0] != SpaceCounters {
		return 0, 0, errCorrupt("not the key of counters")
	}
	return binary.BigEndian.Uint32(b[1:]), binary.BigEndian.Uint32(b[5:]), nil
}

// AppendCounters appends the value of a counters row.
func AppendCounters(dst []byte, n *Counters) []byte {
	dst = binary.AppendUvarint(append(dst, bookFormat), n.Keys)
	dst = binary.AppendUvarint(dst, n.Bytes)
	dst = binary.AppendUvarint(dst, n.History)
	dst = binary.AppendUvarint(dst, n.MaxKeys)
	return binary.AppendUvarint(dst, n.MaxBytes)
}

// DecodeCounters reads the value of a counters row.
func DecodeCounters(b []byte) (n Counters, err error) {
	c, err := bookCursor(b, "counters")
	if err != nil {
		return Counters{}, err
	}
	n = Counters{Keys: c.uint64(), Bytes: c.uint64(), History: c.uint64(), MaxKeys: c.uint64(), MaxBytes: c.uint64()}
	return n, c.endOf("counters", len(b))
}

// Group is what a proposer window remembers of one group.
type Group struct {
	Sequence uint64
	// Before are the revisions before the group: with the marks of the outcomes they give that of each operation.
	Before   Positions
	Outcomes []byte // one for each operation, as made by Outcome; points into the row
}

// Marks beside the status in an outcome byte.
const (
	outcomeMoved     = 1 << 7
	outcomeSucceeded = 1 << 6
	outcomeStatus    = 1<<6 - 1
)

// Outcome packs into one byte how an operation ended, whether it moved the revision, and whether a transaction's
// comparisons held.
func Outcome(s Status, moved, succeeded bool) byte {
	return byte(s) | flag(moved, outcomeMoved) | flag(succeeded, outcomeSucceeded)
}

// SplitOutcome unpacks an outcome.
func SplitOutcome(o byte) (s Status, moved, succeeded bool) {
	return Status(o & outcomeStatus), o&outcomeMoved != 0, o&outcomeSucceeded != 0
}

// AppendWindowKey appends the key of the slot of a proposer's window that holds a group: one of WindowSize, so that a
// group takes the place of the one WindowSize before it.
func AppendWindowKey(dst []byte, replica, sequence uint64) []byte {
	dst = AppendWindowPrefix(dst, replica)
	return binary.BigEndian.AppendUint16(dst, uint16(sequence%WindowSize))
}

// AppendWindowPrefix appends what the keys of a proposer's window begin with.
func AppendWindowPrefix(dst []byte, replica uint64) []byte {
	return binary.BigEndian.AppendUint64(append(dst, SpaceWindows), replica)
}

// AppendGroup appends the value of a window slot.
func AppendGroup(dst []byte, g *Group) []byte {
	dst = binary.AppendUvarint(append(dst, bookFormat), g.Sequence)
	dst = binary.AppendUvarint(dst, g.Before.System)
	dst = binary.AppendUvarint(dst, g.Before.Data)
	return appendBytes(dst, g.Outcomes)
}

// DecodeGroup reads the value of a window slot.
func DecodeGroup(b []byte) (g Group, err error) {
	c, err := bookCursor(b, "window")
	if err != nil {
		return Group{}, err
	}
	g = Group{Sequence: c.uint64(), Before: Positions{System: c.uint64(), Data: c.uint64()}, Outcomes: c.bytes()}
	return g, c.endOf("window", len(b))
}

// Row numbers inside the space of request ids, after the tenant.
const (
	requestHead    = 0
	requestByID    = 1
	requestByOrder = 2
)

// Request is what is remembered of a request id.
type Request struct {
	Order    uint64
	Revision uint64 // that the client was told
	Outcome  byte
}

// RequestHead is where the table of request ids of a tenant stands.
type RequestHead struct {
	Next  uint64 // order of the next one
	Count uint64
	// Horizon is a data revision that no client had seen when it first sent a forgotten one: who first sent before it is
	// refused.
	Horizon uint64
}

// RequestAge is one request id in the order of arrival.
type RequestAge struct {
	Time int64  // state clock at arrival
	Data uint64 // data revision that nobody had seen before it ran: one more than the newest
	ID   string
}

// AppendRequestPrefix appends what the keys of all rows of a tenant's request ids begin with.
func AppendRequestPrefix(dst []byte, tenant uint32) []byte {
	return binary.BigEndian.AppendUint32(append(dst, SpaceRequests), tenant)
}

// AppendRequestHeadKey appends the key of the row that says where the table stands.
func AppendRequestHeadKey(dst []byte, tenant uint32) []byte {
	return append(AppendRequestPrefix(dst, tenant), requestHead)
}

// AppendRequestKey appends the key of a request id.
func AppendRequestKey(dst []byte, tenant uint32, id string) []byte {
	return append(append(AppendRequestPrefix(dst, tenant), requestByID), id...)
}

// AppendRequestAgeKey appends the key of the row that says when a request id arrived.
func AppendRequestAgeKey(dst []byte, tenant uint32, order uint64) []byte {
	return binary.BigEndian.AppendUint64(append(AppendRequestPrefix(dst, tenant), requestByOrder), order)
}

// AppendRequest appends the value of a request id.
func AppendRequest(dst []byte, r *Request) []byte {
	dst = binary.AppendUvarint(append(dst, bookFormat), r.Order)
	return append(binary.AppendUvarint(dst, r.Revision), r.Outcome)
}

// DecodeRequest reads the value of a request id.
func DecodeRequest(b []byte) (r Request, err error) {
	c, err := bookCursor(b, "request id")
	if err != nil {
		return Request{}, err
	}
	r = Request{Order: c.uint64(), Revision: c.uint64(), Outcome: c.uint8()}
	return r, c.endOf("request id", len(b))
}

// AppendRequestHead appends the value of the row that says where the table stands.
func AppendRequestHead(dst []byte, h *RequestHead) []byte {
	dst = binary.AppendUvarint(append(dst, bookFormat), h.Next)
	return binary.AppendUvarint(binary.AppendUvarint(dst, h.Count), h.Horizon)
}

// DecodeRequestHead reads the value of the row that says where the table stands.
func DecodeRequestHead(b []byte) (h RequestHead, err error) {
	c, err := bookCursor(b, "request head")
	if err != nil {
		return RequestHead{}, err
	}
	h = RequestHead{Next: c.uint64(), Count: c.uint64(), Horizon: c.uint64()}
	return h, c.endOf("request head", len(b))
}

// AppendRequestAge appends the value of the row that says when a request id arrived.
func AppendRequestAge(dst []byte, a *RequestAge) []byte {
	dst = binary.AppendVarint(append(dst, bookFormat), a.Time)
	return appendString(binary.AppendUvarint(dst, a.Data), a.ID)
}

// DecodeRequestAge reads the value of the row that says when a request id arrived.
func DecodeRequestAge(b []byte) (a RequestAge, err error) {
	c, err := bookCursor(b, "request age")
	if err != nil {
		return RequestAge{}, err
	}
	a = RequestAge{Time: c.int64(), Data: c.uint64(), ID: c.string()}
	return a, c.endOf("request age", len(b))
}

// AppendAlarmKey appends the key of an alarm that a replica raised; the row has no value but a format.
func AppendAlarmKey(dst []byte, kind AlarmKind, replica uint64) []byte {
	return binary.BigEndian.AppendUint64(append(dst, SpaceAlarms, byte(kind)), replica)
}

// DecodeAlarmKey reads the key of an alarm.
func DecodeAlarmKey(b []byte) (kind AlarmKind, replica uint64, err error) {
	if len(b) != 10 || b[0] != SpaceAlarms {
		return 0, 0, errCorrupt("not the key of an alarm")
	}
	return AlarmKind(b[1]), binary.BigEndian.Uint64(b[2:]), nil
}

// AppendDeletedKey appends the key of the row that lists a deleted config record whose history is kept: by tenant, then
// by age. The row has no value but a format.
func AppendDeletedKey(dst []byte, tombstone uint64, k Key) []byte {
	dst = binary.BigEndian.AppendUint64(AppendDeletedPrefix(dst, k.Tenant), tombstone)
	return AppendKey(dst, k)
}

// AppendDeletedPrefix appends what the keys of a tenant's deleted config records begin with.
func AppendDeletedPrefix(dst []byte, tenant uint32) []byte {
	return binary.BigEndian.AppendUint32(append(dst, SpaceDeleted), tenant)
}

// DecodeDeletedKey reads the key of a deleted config record.
func DecodeDeletedKey(b []byte) (tombstone uint64, k Key, err error) {
	if len(b) < 13 || b[0] != SpaceDeleted {
		return 0, Key{}, errCorrupt("not the key of a deleted record")
	}
	k, rest, err := DecodeKey(b[13:])
	if err == nil && len(rest) > 0 {
		err = errCorrupt("the key of a deleted record is too long")
	}
	return binary.BigEndian.Uint64(b[5:]), k, err
}
