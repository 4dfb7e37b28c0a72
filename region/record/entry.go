package record

import (
	"encoding/binary"
	"hash/crc32"
	"slices"

	"supercluster/internal/fault"
)

// Entry is one entry of the log: a group of operations that one proposer sent together. They are applied in order, each
// on its own, and get consecutive revisions.
type Entry struct {
	// Level is the feature level that a replica needs to apply the entry.
	Level uint32
	// Replica, Boot and Sequence name the group. Boot counts the starts of the replica; Sequence counts its groups since
	// then. A group that is proposed again under the same name runs once.
	Replica  uint64
	Boot     uint64
	Sequence uint64
	// Time is the wall time of the proposer in Unix nanoseconds, for display only.
	Time int64
	Ops  []Op

	size int
}

// Size is the number of bytes the entry was decoded from, 0 if it was not.
func (e *Entry) Size() int { return e.size }

const (
	entryMagic    = 0xc5 // and the bytes of "SC"
	entryFormat   = 1
	entryHeadSize = 4
	checksumSize  = 4
	// opHeadSize is the type and the length of an operation.
	opHeadSize = 1 + 4
	// maxDecodeBytes is far above what any version proposes: an import entry may reach 4 MiB.
	maxDecodeBytes = 8 << 20
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// Checksum is the CRC32C that guards entries and snapshot blocks.
func Checksum(b []byte) uint32 { return crc32.Checksum(b, castagnoli) }

// AppendEntry appends the encoding of an entry. It fails for an entry over a limit (TooLarge) or one that DecodeEntry
// would refuse (Invalid); dst is then returned as it was.
func AppendEntry(dst []byte, e *Entry) ([]byte, error) {
	if len(e.Ops) > MaxOps {
		return dst, fault.New(fault.TooLarge, "an entry has %d operations; the limit is %d", len(e.Ops), MaxOps)
	}
	start := len(dst)
	out := append(dst, entryMagic, 'S', 'C', entryFormat)
	out = binary.AppendUvarint(out, uint64(e.Level))
	out = binary.AppendUvarint(out, e.Replica)
	out = binary.AppendUvarint(out, e.Boot)
	out = binary.AppendUvarint(out, e.Sequence)
	out = binary.AppendVarint(out, e.Time)
	out = binary.AppendUvarint(out, uint64(len(e.Ops)))
	for i := range e.Ops {
		var err error
		if out, err = appendOp(out, &e.Ops[i]); err != nil {
			return dst, err
		}
	}
	if size, limit := len(out)-start+checksumSize, MaxBytes(e.Ops); size > limit {
		return dst, fault.New(fault.TooLarge, "an entry has %d bytes; the limit is %d", size, limit)
	}
	return binary.LittleEndian.AppendUint32(out, Checksum(out[start:])), nil
}

// appendOp appends type, length of the rest, tenant, request id, seen revision and body.
func appendOp(dst []byte, op *Op) ([]byte, error) {
	if len(op.RequestID) > MaxRequestID {
		return dst, fault.Field("request_id", "has %d bytes; the limit is %d", len(op.RequestID), MaxRequestID)
	}
	head := len(dst)
	dst = append(dst, byte(op.Type), 0, 0, 0, 0)
	dst = binary.AppendUvarint(dst, uint64(op.Tenant))
	dst = appendString(dst, op.RequestID)
	dst = binary.AppendUvarint(dst, op.Seen)
	dst, err := appendOpBody(dst, op)
	if err != nil {
		return dst[:head], err
	}
	binary.LittleEndian.PutUint32(dst[head+1:], uint32(len(dst)-head-opHeadSize))
	return dst, nil
}

// DecodeEntry reads an entry. Values point into b, which must never change afterwards; names are copies. A replica that
// gets an error (Corrupt or Unsupported) must stop: what it cannot read, others may have applied.
func DecodeEntry(b []byte) (*Entry, error) { return new(Decoder).Decode(b) }

// Decode is DecodeEntry for one entry after the other. The next call takes the operations of the entry back; values and
// names stay.
func (d *Decoder) Decode(b []byte) (*Entry, error) {
	c, err := checkEntry(b)
	if err != nil {
		return nil, err
	}
	d.reuse()
	e := &d.entry
	e.size = len(b)
	e.Level = c.uint32()
	if !c.bad && e.Level > FeatureLevel {
		return nil, errUnsupported("a log entry needs feature level %d; this version has %d", e.Level, FeatureLevel)
	}
	e.Replica = c.uint64()
	e.Boot = c.uint64()
	e.Sequence = c.uint64()
	e.Time = c.int64()
	n := c.count(opHeadSize + 3)
	if n > 0 {
		e.Ops = slices.Grow(e.Ops, n)[:n]
	}
	d.ops.left = n
	for i := range e.Ops {
		if err := d.ops.op(&c, &e.Ops[i]); err != nil {
			return nil, err
		}
	}
	if !c.end() {
		return nil, errCorrupt("a log entry of %d bytes does not parse", len(b))
	}
	return e, nil
}

// checkEntry judges magic, format and checksum, and gives a cursor at the feature level.
func checkEntry(b []byte) (cursor, error) {
	if len(b) < entryHeadSize+checksumSize || len(b) > maxDecodeBytes {
		return cursor{}, errCorrupt("a log entry has %d bytes", len(b))
	}
	if b[0] != entryMagic || b[1] != 'S' || b[2] != 'C' {
		return cursor{}, errCorrupt("a log entry begins with % x", b[:3])
	}
	body, sum := b[:len(b)-checksumSize], binary.LittleEndian.Uint32(b[len(b)-checksumSize:])
	if got := Checksum(body); got != sum {
		return cursor{}, errCorrupt("a log entry of %d bytes has checksum %08x, not %08x", len(b), got, sum)
	}
	if b[3] != entryFormat {
		return cursor{}, errUnsupported("a log entry has format %d; this version knows %d", b[3], entryFormat)
	}
	return cursor{b: body[entryHeadSize:]}, nil
}
