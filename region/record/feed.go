package record

import (
	"crypto/sha256"
	"encoding/binary"
)

// Class groups kinds by how urgent they are between regions. Each class has its own channels and its own stream, so
// that bulk of one never delays another. Numbers travel: they are never reused.
type Class uint8

// The classes, most urgent first.
const (
	ClassControl   Class = 1 // regions and placement
	ClassConfig    Class = 2 // config, routes, and every kind that is not known
	ClassServices  Class = 3 // service definitions
	ClassEndpoints Class = 4 // instances, checks and their status
	ClassSummaries Class = 5 // what a region has of a service, in numbers
)

// ClassOf gives the class in which a kind is exported; false: records of the kind never leave their region.
func ClassOf(k Kind) (Class, bool) {
	switch k {
	case KindRegion, KindPlacement:
		return ClassControl, true
	case KindService:
		return ClassServices, true
	case KindInstance, KindCheck, KindCheckStatus:
		return ClassEndpoints, true
	case KindSummary:
		return ClassSummaries, true
	default:
		return ClassConfig, k >= firstDataKind
	}
}

// FeedKey names a record in every region. Tenant and namespace are those of the home: a receiver links them to its own.
type FeedKey struct {
	Tenant    [16]byte // zero for system records
	Namespace string   // empty for system records
	Kind      Kind
	Regional  bool // belongs to the home region for ever; else placed
	Name      string
}

// AppendFeedKey appends a feed key in its ordered form: tenant, escaped namespace, kind, 0 placed or 1 regional, escaped
// name. No encoded key is the beginning of another.
func AppendFeedKey(dst []byte, k *FeedKey) []byte {
	dst = append(dst, k.Tenant[:]...)
	dst = append(appendEscaped(dst, k.Namespace), escapeByte, terminatorByte)
	dst = binary.BigEndian.AppendUint16(dst, uint16(k.Kind))
	dst = append(dst, flag(k.Regional, 1))
	return append(appendEscaped(dst, k.Name), escapeByte, terminatorByte)
}

// DecodeFeedKey reads a whole feed key.
func DecodeFeedKey(b []byte) (k FeedKey, err error) {
	if len(b) < 16+terminatorSize+3+terminatorSize {
		return FeedKey{}, errFeed("a feed key of %d bytes is too short", len(b))
	}
	copy(k.Tenant[:], b)
	var rest []byte
	if k.Namespace, rest, err = decodeName(b[16:]); err != nil || len(rest) < 3 {
		return FeedKey{}, errFeed("a feed key of %d bytes has no kind", len(b))
	}
	k.Kind, k.Regional = Kind(binary.BigEndian.Uint16(rest)), rest[2] == 1
	if rest[2] > 1 {
		return FeedKey{}, errFeed("a feed key has the place %d", rest[2])
	}
	if k.Name, rest, err = decodeName(rest[3:]); err != nil || len(rest) > 0 {
		return FeedKey{}, errFeed("a feed key of %d bytes has no end", len(b))
	}
	return k, nil
}

// FeedEntry is a live record as it travels: all that its home says of it. Its encoding is canonical: made of the same
// record it is the same bytes in every version, and a receiver keeps what it does not understand.
type FeedEntry struct {
	OwnerEpoch uint64
	Revision   uint64 // modify revision at home
	Version    uint64 // version at home
	Attributes Attributes
	Extension  []byte // of later versions; kept and passed on
	Value      []byte
}

const feedFormat = 1

// Flags of an entry, and of a feed record: which optional parts follow.
const (
	feedAttributes = 1 << 0
	feedExtension  = 1 << 1
	feedTrace      = 1 << 2
	feedBackfill   = 1 << 3
	feedKnown      = 1<<4 - 1
)

// AppendFeedEntry appends an entry: format, flags, owner epoch, revision, version, what the flags name of attributes and
// extension, then the value up to the end.
func AppendFeedEntry(dst []byte, e *FeedEntry) []byte {
	attributed := !e.Attributes.isZero()
	dst = append(dst, feedFormat, flag(attributed, feedAttributes)|flag(len(e.Extension) > 0, feedExtension))
	dst = binary.AppendUvarint(dst, e.OwnerEpoch)
	dst = binary.AppendUvarint(dst, e.Revision)
	dst = binary.AppendUvarint(dst, e.Version)
	if attributed {
		dst = appendAttributes(dst, &e.Attributes)
	}
	if len(e.Extension) > 0 {
		dst = appendBytes(dst, e.Extension)
	}
	return append(dst, e.Value...)
}

// DecodeFeedEntry reads an entry. Value and Extension point into b.
func DecodeFeedEntry(b []byte) (e FeedEntry, err error) {
	c := cursor{b: b}
	format, flags := c.uint8(), c.uint8()
	if !c.bad && (format != feedFormat || flags&^(feedAttributes|feedExtension) != 0) {
		return FeedEntry{}, errFeedFormat("a feed entry has format %d with flags %#02x", format, flags)
	}
	e.OwnerEpoch, e.Revision, e.Version = c.uint64(), c.uint64(), c.uint64()
	if flags&feedAttributes != 0 {
		e.Attributes = c.attributes()
	}
	if flags&feedExtension != 0 {
		e.Extension = c.bytes()
	}
	if c.bad {
		return FeedEntry{}, errFeed("a feed entry of %d bytes does not parse", len(b))
	}
	if len(c.b) > 0 {
		e.Value = c.b
	}
	return e, nil
}

// FeedOp is what a feed record does to one key.
type FeedOp uint8

// The operations. Unexport is no delete: the record lives on at home, and is no longer for this channel.
const (
	FeedPut      FeedOp = 1
	FeedDelete   FeedOp = 2
	FeedUnexport FeedOp = 3
)

// FeedChange is one change of a feed record.
type FeedChange struct {
	Op    FeedOp
	Key   []byte // encoded FeedKey
	Entry []byte // encoded FeedEntry of a put
}

// FeedRecord is one transaction of the home, as far as a channel carries it, or one step of a backfill. It is atomic at
// every receiver.
type FeedRecord struct {
	Sequence  uint64 // dense in the channel, from 1
	Revision  uint64 // of the home's shard after it
	Backfill  bool   // tells what was there already; at home nothing changed
	Writer    Writer
	Trace     Trace
	Extension []byte
	Changes   []FeedChange
}

// AppendFeedRecord appends a feed record: the bytes that the chain covers.
func AppendFeedRecord(dst []byte, r *FeedRecord) []byte {
	traced := r.Trace != Trace{}
	dst = append(dst, feedFormat, flag(len(r.Extension) > 0, feedExtension)|flag(traced, feedTrace)|flag(r.Backfill, feedBackfill))
	dst = binary.AppendUvarint(dst, r.Sequence)
	dst = binary.AppendUvarint(dst, r.Revision)
	dst = appendWriter(dst, &r.Writer)
	if traced {
		dst = appendTrace(dst, &r.Trace)
	}
	if len(r.Extension) > 0 {
		dst = appendBytes(dst, r.Extension)
	}
	dst = binary.AppendUvarint(dst, uint64(len(r.Changes)))
	for i := range r.Changes {
		c := &r.Changes[i]
		dst = appendBytes(append(dst, byte(c.Op)), c.Key)
		if c.Op == FeedPut {
			dst = appendBytes(dst, c.Entry)
		}
	}
	return dst
}

// DecodeFeedRecord reads a feed record. Keys and entries point into b; they are not decoded.
func DecodeFeedRecord(b []byte) (r FeedRecord, err error) {
	c := cursor{b: b}
	format, flags := c.uint8(), c.uint8()
	if !c.bad && (format != feedFormat || flags&^(feedExtension|feedTrace|feedBackfill) != 0) {
		return FeedRecord{}, errFeedFormat("a feed record has format %d with flags %#02x", format, flags)
	}
	r.Sequence, r.Revision, r.Backfill = c.uint64(), c.uint64(), flags&feedBackfill != 0
	r.Writer = c.writer()
	if flags&feedTrace != 0 {
		r.Trace = c.trace()
	}
	if flags&feedExtension != 0 {
		r.Extension = c.bytes()
	}
	if n := c.count(2); n > 0 {
		r.Changes = make([]FeedChange, n)
	}
	for i := range r.Changes {
		ch := &r.Changes[i]
		ch.Op, ch.Key = FeedOp(c.uint8()), c.bytes()
		switch {
		case ch.Op == FeedPut:
			ch.Entry = c.bytes()
		case ch.Op > FeedUnexport && !c.bad:
			return FeedRecord{}, errFeedFormat("a feed record has the operation %d", ch.Op)
		case ch.Op == 0:
			c.fail()
		}
	}
	if !c.end() {
		return FeedRecord{}, errFeed("a feed record of %d bytes does not parse", len(b))
	}
	return r, nil
}

// ChainNext gives the hash of a channel after one more record: SHA-256 over the hash before and the record's bytes.
func ChainNext(before [32]byte, record []byte) (after [32]byte) {
	h := sha256.New()
	h.Write(before[:])
	h.Write(record)
	h.Sum(after[:0])
	return after
}

// Digest is an additive digest of a set, modulo 2^256: it does not depend on the order in which elements came or went.
type Digest [32]byte

// Element hashes one live record of a channel.
func Element(key, entry []byte) (e Digest) {
	var small [1024]byte
	b := append(binary.AppendUvarint(small[:0], uint64(len(key))), key...)
	if len(b)+len(entry) <= len(small) { // as most are; then nothing is allocated
		return sha256.Sum256(append(b, entry...))
	}
	h := sha256.New()
	h.Write(b)
	h.Write(entry)
	h.Sum(e[:0])
	return e
}

// Add puts an element into the set.
func (d *Digest) Add(e Digest) {
	carry := uint16(0)
	for i := len(d) - 1; i >= 0; i-- {
		carry += uint16(d[i]) + uint16(e[i])
		d[i], carry = byte(carry), carry>>8
	}
}

// Remove takes an element out of the set.
func (d *Digest) Remove(e Digest) {
	borrow := 0
	for i := len(d) - 1; i >= 0; i-- {
		n := int(d[i]) - int(e[i]) - borrow
		if borrow = 0; n < 0 {
			borrow = 1
		}
		d[i] = byte(n)
	}
}

// FeedPosition is a place in a channel. The incarnation numbers the lives of a region's feeds: a larger one replaces a
// smaller one, whatever sequences they had. Chain is the hash over all records up to Sequence.
type FeedPosition struct {
	Incarnation uint64
	Sequence    uint64
	Chain       [32]byte
}

// After reports whether p is a later position than q of the same channel.
func (p FeedPosition) After(q FeedPosition) bool {
	return p.Incarnation > q.Incarnation || p.Incarnation == q.Incarnation && p.Sequence > q.Sequence
}

// FeedHead says where a channel stands, in the words of its home. Only a head signed by the region's feed key counts.
type FeedHead struct {
	Region     [16]byte
	Channel    uint32
	Generation uint64 // of the channel's document
	Position   FeedPosition
	Digest     Digest // over the live exported records at Position
	Revision   uint64 // of the home's shard: everything up to it is in Position
	Time       int64  // when it was signed, by the home's clock, in Unix nanoseconds
	Signature  [64]byte
}

const headDomain = "supercluster feed head\x00"

// Signed gives the bytes that the signature covers.
func (h *FeedHead) Signed() []byte { return h.append([]byte(headDomain)) }

func (h *FeedHead) append(dst []byte) []byte {
	dst = append(append(dst, feedFormat), h.Region[:]...)
	dst = binary.AppendUvarint(dst, uint64(h.Channel))
	dst = binary.AppendUvarint(dst, h.Generation)
	dst = appendPosition(dst, &h.Position)
	dst = append(dst, h.Digest[:]...)
	dst = binary.AppendUvarint(dst, h.Revision)
	return binary.AppendVarint(dst, h.Time)
}

func appendPosition(dst []byte, p *FeedPosition) []byte {
	dst = binary.AppendUvarint(dst, p.Incarnation)
	dst = binary.AppendUvarint(dst, p.Sequence)
	return append(dst, p.Chain[:]...)
}

func (c *cursor) position() FeedPosition {
	return FeedPosition{Incarnation: c.uint64(), Sequence: c.uint64(), Chain: c.hash()}
}

func (c *cursor) hash() (h [32]byte) {
	copy(h[:], c.take(len(h)))
	return h
}

// AppendFeedHead appends a head and its signature.
func AppendFeedHead(dst []byte, h *FeedHead) []byte { return append(h.append(dst), h.Signature[:]...) }

// DecodeFeedHead reads a head. It does not judge the signature.
func DecodeFeedHead(b []byte) (FeedHead, error) {
	c := cursor{b: b}
	h, err := c.head()
	if err == nil && !c.end() {
		err = errFeed("a feed head of %d bytes does not parse", len(b))
	}
	return h, err
}

func (c *cursor) head() (h FeedHead, err error) {
	if format := c.uint8(); !c.bad && format != feedFormat {
		return FeedHead{}, errFeedFormat("a feed head has format %d", format)
	}
	h.Region, h.Channel, h.Generation = c.id(), c.uint32(), c.uint64()
	h.Position = c.position()
	h.Digest, h.Revision, h.Time = c.hash(), c.uint64(), c.int64()
	copy(h.Signature[:], c.take(len(h.Signature)))
	return h, nil
}
