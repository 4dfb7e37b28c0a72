package record

import "encoding/binary"

// Row numbers inside the meta space, of federation.
const (
	metaFederation = 4
	metaChannels   = 5
)

// Fence says whether a region exports.
type Fence uint8

// The states of a fence.
const (
	FenceNone    Fence = 0
	FenceHealing Fence = 1 // the region found that it runs on old data: exports and exported writes wait until it is healed
	FenceClone   Fence = 2 // another copy of the region lives: nothing is exported until an operator decides
)

// Federation is the row that exists once a region has a peer or a channel.
type Federation struct {
	Incarnation uint64
	Seen        uint64 // the highest incarnation that anybody showed
	Fence       Fence
	FencedAt    int64  // wall time of the last fence
	Fences      uint32 // since the last `unfence`
	NextAlias   uint32
	NextChannel uint32
	Reason      string // of the last fence, for people
}

// FederationKey is the key of the federation row.
func FederationKey() []byte { return []byte{SpaceMeta, metaFederation} }

// AppendFederation appends the value of the federation row.
func AppendFederation(dst []byte, f *Federation) []byte {
	dst = binary.AppendUvarint(append(dst, bookFormat), f.Incarnation)
	dst = append(binary.AppendUvarint(dst, f.Seen), byte(f.Fence))
	dst = binary.AppendVarint(dst, f.FencedAt)
	dst = binary.AppendUvarint(dst, uint64(f.Fences))
	dst = binary.AppendUvarint(dst, uint64(f.NextAlias))
	dst = binary.AppendUvarint(dst, uint64(f.NextChannel))
	return appendString(dst, f.Reason)
}

// DecodeFederation reads the value of the federation row.
func DecodeFederation(b []byte) (f Federation, err error) {
	c, err := bookCursor(b, "federation")
	if err != nil {
		return Federation{}, err
	}
	f.Incarnation, f.Seen, f.Fence, f.FencedAt = c.uint64(), c.uint64(), Fence(c.uint8()), c.int64()
	f.Fences, f.NextAlias, f.NextChannel, f.Reason = c.uint32(), c.uint32(), c.uint32(), c.string()
	return f, c.endOf("federation", len(b))
}

// minChannelSize is that of a channel without name, terms and audience.
const minChannelSize = 8

// ChannelsKey is the key of the row that lists the region's own channels.
func ChannelsKey() []byte { return []byte{SpaceMeta, metaChannels} }

// AppendChannels appends the value of that row.
func AppendChannels(dst []byte, channels []Channel) []byte {
	dst = binary.AppendUvarint(append(dst, bookFormat), uint64(len(channels)))
	for i := range channels {
		dst = appendChannel(dst, &channels[i])
	}
	return dst
}

// DecodeChannels reads the value of that row.
func DecodeChannels(b []byte) ([]Channel, error) {
	c, err := bookCursor(b, "channels")
	if err != nil {
		return nil, err
	}
	all := make([]Channel, c.count(minChannelSize))
	for i := range all {
		if all[i], err = c.channel(); err != nil {
			return nil, err
		}
	}
	return all, c.endOf("channels", len(b))
}

// FeedState is where a channel stands here: a channel of this region (alias 1), or one that is imported.
type FeedState struct {
	Position FeedPosition
	Digest   Digest
	Revision uint64 // of the home's shard at Position
	Records  uint64 // live records of the channel
	// FloorSequence and FloorChain are the position before the first row of the log that is kept.
	FloorSequence uint64
	FloorChain    [32]byte
	LogBytes      uint64
	// Step counts walks over all records: backfills of an own channel, remaps of an imported one. Walking: one is under way
	// and goes on from Next.
	Step    uint64
	Walking bool
	Next    []byte
	// Quarantined counts imported records that are kept but not shown, since they must not be here.
	Quarantined uint64
	// Head is the last signed head of an imported channel.
	Head []byte
	// Document is the signed document of an imported channel.
	Document []byte
}

// AppendFeedStateKey appends the key of a channel's state.
func AppendFeedStateKey(dst []byte, alias, channel uint32) []byte {
	return appendFeedPrefix(append(dst, SpaceCursors), alias, channel)
}

// DecodeFeedStateKey reads the key of a channel's state.
func DecodeFeedStateKey(b []byte) (alias, channel uint32, err error) {
	if len(b) != 9 || b[0] != SpaceCursors {
		return 0, 0, errCorrupt("not the key of a channel's state")
	}
	return binary.BigEndian.Uint32(b[1:]), binary.BigEndian.Uint32(b[5:]), nil
}

func appendFeedPrefix(dst []byte, alias, channel uint32) []byte {
	return binary.BigEndian.AppendUint32(binary.BigEndian.AppendUint32(dst, alias), channel)
}

// AppendFeedState appends the value of a channel's state.
func AppendFeedState(dst []byte, s *FeedState) []byte {
	dst = appendPosition(append(dst, bookFormat), &s.Position)
	dst = append(dst, s.Digest[:]...)
	dst = binary.AppendUvarint(dst, s.Revision)
	dst = binary.AppendUvarint(dst, s.Records)
	dst = binary.AppendUvarint(dst, s.FloorSequence)
	dst = append(dst, s.FloorChain[:]...)
	dst = binary.AppendUvarint(dst, s.LogBytes)
	dst = binary.AppendUvarint(dst, s.Step)
	dst = append(dst, flag(s.Walking, 1))
	dst = appendBytes(dst, s.Next)
	dst = binary.AppendUvarint(dst, s.Quarantined)
	dst = appendBytes(dst, s.Head)
	return appendBytes(dst, s.Document)
}

// DecodeFeedState reads the value of a channel's state. Its slices point into b.
func DecodeFeedState(b []byte) (s FeedState, err error) {
	c, err := bookCursor(b, "channel state")
	if err != nil {
		return FeedState{}, err
	}
	s.Position, s.Digest, s.Revision, s.Records = c.position(), c.hash(), c.uint64(), c.uint64()
	s.FloorSequence, s.FloorChain, s.LogBytes = c.uint64(), c.hash(), c.uint64()
	s.Step, s.Walking, s.Next = c.uint64(), c.uint8() != 0, c.bytes()
	s.Quarantined, s.Head, s.Document = c.uint64(), c.bytes(), c.bytes()
	return s, c.endOf("channel state", len(b))
}

// FeedLogRow is one record in the log of a channel.
type FeedLogRow struct {
	Chain    [32]byte // after the record
	Digest   Digest   // after the record
	Revision uint64
	Head     []byte // of an imported channel: the signed head at this position, if one came
	Record   []byte // encoded FeedRecord
}

// AppendFeedLogKey appends the key of a record in the log of a channel.
func AppendFeedLogKey(dst []byte, alias, channel uint32, sequence uint64) []byte {
	return binary.BigEndian.AppendUint64(appendFeedPrefix(append(dst, SpaceFeedLog), alias, channel), sequence)
}

// DecodeFeedLogKey reads the sequence in the key of a record in a log.
func DecodeFeedLogKey(b []byte) (sequence uint64, err error) {
	if len(b) != 17 || b[0] != SpaceFeedLog {
		return 0, errCorrupt("not the key of a feed record")
	}
	return binary.BigEndian.Uint64(b[9:]), nil
}

// AppendFeedLogRow appends the value of a row of a log.
func AppendFeedLogRow(dst []byte, r *FeedLogRow) []byte {
	dst = append(append(append(dst, bookFormat), r.Chain[:]...), r.Digest[:]...)
	dst = appendBytes(binary.AppendUvarint(dst, r.Revision), r.Head)
	return append(dst, r.Record...)
}

// DecodeFeedLogRow reads the value of a row of a log. Its slices point into b.
func DecodeFeedLogRow(b []byte) (r FeedLogRow, err error) {
	c, err := bookCursor(b, "feed log")
	if err != nil {
		return FeedLogRow{}, err
	}
	r = FeedLogRow{Chain: c.hash(), Digest: c.hash(), Revision: c.uint64(), Head: c.bytes()}
	if c.bad {
		return FeedLogRow{}, errCorrupt("a feed log row of %d bytes does not parse", len(b))
	}
	r.Record = c.b
	return r, nil
}

// Exported is what is remembered of a record that a channel of this region carries.
type Exported struct {
	Sequence   uint64 // of the last feed record about it
	Element    Digest
	OwnerEpoch uint64
	Tenant     uint32 // with Namespace and the feed key: the record
	Namespace  uint32
}

// AppendExportedKey appends the key of an exported record.
func AppendExportedKey(dst []byte, channel uint32, feedKey []byte) []byte {
	return append(binary.BigEndian.AppendUint32(append(dst, SpaceExported), channel), feedKey...)
}

// ExportedFeedKey gives the feed key in the key of an exported record.
func ExportedFeedKey(b []byte) []byte { return b[5:] }

// AppendExported appends the value of an exported record's row.
func AppendExported(dst []byte, e *Exported) []byte {
	dst = binary.AppendUvarint(append(dst, bookFormat), e.Sequence)
	dst = binary.AppendUvarint(append(dst, e.Element[:]...), e.OwnerEpoch)
	return binary.AppendUvarint(binary.AppendUvarint(dst, uint64(e.Tenant)), uint64(e.Namespace))
}

// DecodeExported reads the value of an exported record's row.
func DecodeExported(b []byte) (e Exported, err error) {
	c, err := bookCursor(b, "exported record")
	if err != nil {
		return Exported{}, err
	}
	e = Exported{Sequence: c.uint64(), Element: c.hash(), OwnerEpoch: c.uint64(), Tenant: c.uint32(), Namespace: c.uint32()}
	return e, c.endOf("exported record", len(b))
}

// Quarantine says why an imported record is kept but not shown.
type Quarantine uint8

// The reasons. Hidden is none: the record is not wanted here, or its tenant or namespace is not linked.
const (
	QuarantineNone      Quarantine = 0
	QuarantineCollision Quarantine = 1 // a record of this region has its name
	QuarantineNotHome   Quarantine = 2 // its region is not the home that this region knows
	QuarantineMalformed Quarantine = 3 // its key or entry cannot be read
)

// Imported is a record of another region, as it came.
type Imported struct {
	Sequence   uint64
	Element    Digest
	Shown      bool // it is among the records of this region, read-only
	Tenant     uint32
	Namespace  uint32 // with Tenant and the feed key: the record that shows it
	Quarantine Quarantine
	Entry      []byte
}

// AppendImportedKey appends the key of an imported record.
func AppendImportedKey(dst []byte, alias, channel uint32, feedKey []byte) []byte {
	return append(appendFeedPrefix(append(dst, SpaceOrigins), alias, channel), feedKey...)
}

// ImportedFeedKey gives the feed key in the key of an imported record.
func ImportedFeedKey(b []byte) []byte { return b[9:] }

// AppendImported appends the value of an imported record's row.
func AppendImported(dst []byte, m *Imported) []byte {
	dst = binary.AppendUvarint(append(dst, bookFormat), m.Sequence)
	dst = append(append(dst, m.Element[:]...), flag(m.Shown, 1), byte(m.Quarantine))
	dst = binary.AppendUvarint(binary.AppendUvarint(dst, uint64(m.Tenant)), uint64(m.Namespace))
	return append(dst, m.Entry...)
}

// DecodeImported reads the value of an imported record's row. Entry points into b.
func DecodeImported(b []byte) (m Imported, err error) {
	c, err := bookCursor(b, "imported record")
	if err != nil {
		return Imported{}, err
	}
	m = Imported{Sequence: c.uint64(), Element: c.hash(), Shown: c.uint8() != 0, Quarantine: Quarantine(c.uint8())}
	m.Tenant, m.Namespace = c.uint32(), c.uint32()
	if c.bad {
		return Imported{}, errCorrupt("the row of an imported record of %d bytes does not parse", len(b))
	}
	m.Entry = c.b
	return m, nil
}

// Resync is a snapshot of a channel that is being taken over.
type Resync struct {
	Target []byte // the signed head that its end must match
	Next   []byte // feed key from which the rest is missing
}

// AppendResyncKey appends the key of a resync.
func AppendResyncKey(dst []byte, alias, channel uint32) []byte {
	return appendFeedPrefix(append(dst, SpaceResync), alias, channel)
}

// AppendResync appends the value of a resync's row.
func AppendResync(dst []byte, r *Resync) []byte {
	return appendBytes(appendBytes(append(dst, bookFormat), r.Target), r.Next)
}

// DecodeResync reads the value of a resync's row.
func DecodeResync(b []byte) (r Resync, err error) {
	c, err := bookCursor(b, "resync")
	if err != nil {
		return Resync{}, err
	}
	r = Resync{Target: c.bytes(), Next: c.bytes()}
	return r, c.endOf("resync", len(b))
}
