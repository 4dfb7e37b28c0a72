package record

import "encoding/binary"

// Row numbers inside the meta space.
const (
	metaHead     = 1
	metaIdentity = 2
	metaOrphan   = 3
)

const bookFormat = 1

// Head is the one row that every entry rewrites: where the machine stands.
type Head struct {
	AppliedIndex  uint64
	Level         uint32 // highest feature level that an applied entry needed
	Positions     Positions
	Compacted     Positions
	Purged        Positions
	NextTenant    uint32
	NextNamespace uint32
	Clock         Clock
	Alarms        uint64 // bit k: alarm k is raised by some replica
	Proposers     []Proposer
}

// Clock is the state clock: time that only moves when a leader that claimed it says so.
type Clock struct {
	Term     uint64 // of the leader that claimed it last
	Owner    uint64 // replica id of that leader
	Sequence uint64 // of its last tick
	Now      int64  // nanoseconds since the clock began
}

// Proposer is the newest boot known of a replica that proposes.
type Proposer struct {
	Replica uint64
	Boot    uint64
}

// HeadKey is the key of the head row.
func HeadKey() []byte { return []byte{SpaceMeta, metaHead} }

// AppendHead appends the value of the head row.
func AppendHead(dst []byte, h *Head) []byte {
	dst = append(dst, bookFormat)
	dst = binary.AppendUvarint(dst, h.AppliedIndex)
	dst = binary.AppendUvarint(dst, uint64(h.Level))
	for _, p := range [3]Positions{h.Positions, h.Compacted, h.Purged} {
		dst = binary.AppendUvarint(binary.AppendUvarint(dst, p.System), p.Data)
	}
	dst = binary.AppendUvarint(dst, uint64(h.NextTenant))
	dst = binary.AppendUvarint(dst, uint64(h.NextNamespace))
	dst = binary.AppendUvarint(dst, h.Clock.Term)
	dst = binary.AppendUvarint(dst, h.Clock.Owner)
	dst = binary.AppendUvarint(dst, h.Clock.Sequence)
	dst = binary.AppendVarint(dst, h.Clock.Now)
	dst = binary.AppendUvarint(dst, h.Alarms)
	dst = binary.AppendUvarint(dst, uint64(len(h.Proposers)))
	for _, p := range h.Proposers {
		dst = binary.AppendUvarint(binary.AppendUvarint(dst, p.Replica), p.Boot)
	}
	return dst
}

// DecodeHead reads the value of the head row.
func DecodeHead(b []byte) (h Head, err error) {
	c, err := bookCursor(b, "head")
	if err != nil {
		return Head{}, err
	}
	h.AppliedIndex = c.uint64()
	h.Level = c.uint32()
	for _, p := range [3]*Positions{&h.Positions, &h.Compacted, &h.Purged} {
		*p = Positions{System: c.uint64(), Data: c.uint64()}
	}
	h.NextTenant, h.NextNamespace = c.uint32(), c.uint32()
	h.Clock = Clock{Term: c.uint64(), Owner: c.uint64(), Sequence: c.uint64(), Now: c.int64()}
	h.Alarms = c.uint64()
	if n := c.count(2); n > 0 {
		h.Proposers = make([]Proposer, n)
	}
	for i := range h.Proposers {
		h.Proposers[i] = Proposer{Replica: c.uint64(), Boot: c.uint64()}
	}
	return h, c.endOf("head", len(b))
}

// bookCursor judges the format of a bookkeeping row.
func bookCursor(b []byte, what string) (cursor, error) {
	c := cursor{b: b}
	if format := c.uint8(); !c.bad && format != bookFormat {
		return cursor{}, errUnsupported("the %s row has format %d", what, format)
	}
	return c, nil
}

func (c *cursor) endOf(what string, size int) error {
	if !c.end() {
		return errCorrupt("the %s row of %d bytes does not parse", what, size)
	}
	return nil
}

// IdentityKey is the key of the region's identity.
func IdentityKey() []byte { return []byte{SpaceMeta, metaIdentity} }

// AppendIdentity appends the value of the identity row.
func AppendIdentity(dst []byte, id *Identity) []byte {
	return appendString(append(append(dst, bookFormat), id.RegionID[:]...), id.Name)
}

// DecodeIdentity reads the value of the identity row.
func DecodeIdentity(b []byte) (id Identity, err error) {
	c, err := bookCursor(b, "identity")
	if err != nil {
		return Identity{}, err
	}
	id = Identity{RegionID: c.id(), Name: c.string()}
	return id, c.endOf("identity", len(b))
}

// Orphan is a deleted namespace, or a deleted tenant (Namespace 0), whose rows are still to be purged: no record of it
// lives, and none ever will, for numbers are not used twice.
type Orphan struct {
	Tenant    uint32
	Namespace uint32
	// Revision is the data revision at which it was deleted: its rows may go once that is compacted.
	Revision uint64
}

// OrphanBounds gives the row keys [from, to) of all orphans.
func OrphanBounds() (from, to []byte) {
	return []byte{SpaceMeta, metaOrphan}, []byte{SpaceMeta, metaOrphan + 1}
}

// AppendOrphanKey appends the key of an orphan's row.
func AppendOrphanKey(dst []byte, o Orphan) []byte {
	dst = append(dst, SpaceMeta, metaOrphan)
	dst = binary.BigEndian.AppendUint64(dst, o.Revision)
	dst = binary.BigEndian.AppendUint32(dst, o.Tenant)
	return binary.BigEndian.AppendUint32(dst, o.Namespace)
}

// DecodeOrphanKey reads the key of an orphan's row, which has no value but a format.
func DecodeOrphanKey(b []byte) (Orphan, error) {
	if len(b) != 18 || b[0] != SpaceMeta || b[1] != metaOrphan {
		return Orphan{}, errCorrupt("not the key of an orphan")
	}
	return Orphan{
		Revision: binary.BigEndian.Uint64(b[2:]), Tenant: binary.BigEndian.Uint32(b[10:]),
		Namespace: binary.BigEndian.Uint32(b[14:]),
	}, nil
}

// Mark is the value of rows that say all in their key.
func Mark() []byte { return []byte{bookFormat} }
