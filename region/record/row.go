package record

import "encoding/binary"

// Format numbers of the rows. A row begins with its format; a changed layout takes the next number.
const (
	versionFormat     = 1
	transactionFormat = 1
)

// Flags of a version row: which optional parts follow.
const (
	rowTombstone  = 1 << 0
	rowLease      = 1 << 1
	rowOrdinal    = 1 << 2
	rowOrigin     = 1 << 3
	rowAttributes = 1 << 4
	// rowIncarnation: the origin has an incarnation.
	rowIncarnation = 1 << 5
	rowKnown       = 1<<6 - 1
)

// VersionHead is the beginning of a version row: what a write to the record must know of the version before.
type VersionHead struct {
	Deleted        bool
	CreateRevision uint64
	Version        uint64
	Lease          uint64
	// Ordinal counts the rows of a config record, tombstones included, from 1: it says which outlive compaction.
	Ordinal uint64

	flags uint8
}

// AppendVersion appends the value of a version row: format, flags, create revision, version, then what the flags name of
// lease, ordinal, origin, its incarnation and attributes, then the value up to the end. Key and ModifyRevision are in the row's key.
func AppendVersion(dst []byte, r *Record, ordinal uint64) []byte {
	attributed := !r.Attributes.isZero()
	flags := flag(r.Deleted, rowTombstone) | flag(r.Lease != 0, rowLease) | flag(ordinal != 0, rowOrdinal) |
		flag(r.Origin != Origin{}, rowOrigin) | flag(attributed, rowAttributes) | flag(r.Origin.Incarnation != 0, rowIncarnation)
	dst = append(dst, versionFormat, flags)
	dst = binary.AppendUvarint(dst, r.CreateRevision)
	dst = binary.AppendUvarint(dst, r.Version)
	if r.Lease != 0 {
		dst = binary.AppendUvarint(dst, r.Lease)
	}
	if ordinal != 0 {
		dst = binary.AppendUvarint(dst, ordinal)
	}
	if flags&rowOrigin != 0 {
		dst = appendOrigin(dst, &r.Origin)
	}
	if flags&rowIncarnation != 0 {
		dst = binary.AppendUvarint(dst, r.Origin.Incarnation)
	}
	if attributed {
		dst = appendAttributes(dst, &r.Attributes)
	}
	return append(dst, r.Value...)
}

// DecodeVersionHead reads the beginning of a version row.
func DecodeVersionHead(b []byte) (VersionHead, error) {
	c := cursor{b: b}
	h, err := c.versionHead()
	if err == nil && c.bad {
		err = errCorrupt("a version row of %d bytes is too short", len(b))
	}
	return h, err
}

// DecodeVersion reads the value of a version row into all of r but Key and ModifyRevision, and gives its ordinal.
// r.Value points into b.
func DecodeVersion(b []byte, r *Record) (ordinal uint64, err error) {
	c := cursor{b: b}
	h, err := c.versionHead()
	if err != nil {
		return 0, err
	}
	r.Deleted, r.CreateRevision, r.Version, r.Lease = h.Deleted, h.CreateRevision, h.Version, h.Lease
	r.Origin, r.Attributes, r.Value = Origin{}, Attributes{}, nil
	if h.flags&rowOrigin != 0 {
		r.Origin = c.origin()
	}
	if h.flags&rowIncarnation != 0 {
		r.Origin.Incarnation = c.uint64()
	}
	if h.flags&rowAttributes != 0 {
		r.Attributes = c.attributes()
	}
	if c.bad {
		return 0, errCorrupt("a version row of %d bytes does not parse", len(b))
	}
	if len(c.b) > 0 {
		r.Value = c.b
	}
	return h.Ordinal, nil
}

func (c *cursor) versionHead() (VersionHead, error) {
	format, flags := c.uint8(), c.uint8()
	if c.bad {
		return VersionHead{}, errCorrupt("a version row is too short")
	}
	if format != versionFormat || flags&^rowKnown != 0 {
		return VersionHead{}, errUnsupported("a version row has format %d with flags %#02x", format, flags)
	}
	h := VersionHead{Deleted: flags&rowTombstone != 0, flags: flags}
	h.CreateRevision = c.uint64()
	h.Version = c.uint64()
	if flags&rowLease != 0 {
		h.Lease = c.uint64()
	}
	if flags&rowOrdinal != 0 {
		h.Ordinal = c.uint64()
	}
	return h, nil
}

func appendOrigin(dst []byte, o *Origin) []byte {
	dst = append(dst, o.Home[:]...)
	dst = binary.AppendUvarint(dst, o.OwnerEpoch)
	dst = binary.AppendUvarint(dst, o.HomeRevision)
	return binary.AppendUvarint(dst, o.FeedSequence)
}

func (c *cursor) origin() Origin {
	return Origin{Home: c.id(), OwnerEpoch: c.uint64(), HomeRevision: c.uint64(), FeedSequence: c.uint64()}
}

// Flags of attributes: which of them follow.
const (
	attributeFormat    = 1 << 0
	attributeFlags     = 1 << 1
	attributeLockIndex = 1 << 2
	attributeSession   = 1 << 3
	attributeWriter    = 1 << 4
)

func (a *Attributes) isZero() bool {
	return a.Format == 0 && a.Flags == 0 && a.LockIndex == 0 && a.Session == "" && a.Writer.isZero()
}

func (w *Writer) isZero() bool { return w.Time == 0 && w.Actor == "" && w.Message == "" }

func appendAttributes(dst []byte, a *Attributes) []byte {
	written := !a.Writer.isZero()
	dst = append(dst, flag(a.Format != 0, attributeFormat)|flag(a.Flags != 0, attributeFlags)|
		flag(a.LockIndex != 0, attributeLockIndex)|flag(a.Session != "", attributeSession)|flag(written, attributeWriter))
	if a.Format != 0 {
		dst = append(dst, a.Format)
	}
	if a.Flags != 0 {
		dst = binary.AppendUvarint(dst, a.Flags)
	}
	if a.LockIndex != 0 {
		dst = binary.AppendUvarint(dst, a.LockIndex)
	}
	if a.Session != "" {
		dst = appendString(dst, a.Session)
	}
	if written {
		dst = appendWriter(dst, &a.Writer)
	}
	return dst
}

func (c *cursor) attributes() (a Attributes) {
	flags := c.uint8()
	if flags&attributeFormat != 0 {
		a.Format = c.uint8()
	}
	if flags&attributeFlags != 0 {
		a.Flags = c.uint64()
	}
	if flags&attributeLockIndex != 0 {
		a.LockIndex = c.uint64()
	}
	if flags&attributeSession != 0 {
		a.Session = c.string()
	}
	if flags&attributeWriter != 0 {
		a.Writer = c.writer()
	}
	if flags >= attributeWriter<<1 {
		c.fail()
	}
	return a
}

func appendWriter(dst []byte, w *Writer) []byte {
	dst = binary.AppendVarint(dst, w.Time)
	dst = appendString(dst, w.Actor)
	return appendString(dst, w.Message)
}

func (c *cursor) writer() Writer {
	return Writer{Time: c.int64(), Actor: c.string(), Message: c.string()}
}

func appendTrace(dst []byte, t *Trace) []byte {
	dst = append(dst, t.TraceID[:]...)
	dst = append(dst, t.SpanID[:]...)
	return append(dst, t.Flags)
}

func (c *cursor) trace() (t Trace) {
	t.TraceID = c.id()
	copy(t.SpanID[:], c.take(len(t.SpanID)))
	t.Flags = c.uint8()
	return t
}
