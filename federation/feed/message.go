package feed

import (
	"encoding/binary"

	"supercluster/internal/fault"
	"supercluster/region/record"
)

// Limits of messages.
const (
	// MaxBatchBytes is the size at which a batch or chunk is closed. One record may be larger alone.
	MaxBatchBytes = 32 << 10
	// MaxMessageBytes bounds a message: a record has at most the size of an entry, and its keys grow a little.
	MaxMessageBytes = record.MaxImportBytes - 64<<10
)

// Type is the kind of a message. Numbers travel: never reused.
type Type uint8

// The messages.
const (
	TypePull   Type = 1 // receiver: send me a channel from here on
	TypeCredit Type = 2 // receiver: send so many bytes more
	TypeBatch  Type = 3 // server: records and the head that closes them, or a head alone
	TypeChunk  Type = 4 // server: a part of a snapshot
	TypeRefuse Type = 5 // server: not from me, and why
	TypeProbe  Type = 6 // receiver: tell me your head, I want to know how old I am
	TypeStop   Type = 7 // receiver: no more of this channel
	TypeOpened Type = 8 // server: from here on it is the answer to the pull with this stamp
)

// Refusal says why a server does not serve.
type Refusal uint8

// The refusals.
const (
	RefusedUnknown  Refusal = 1 // no such region or channel here
	RefusedAudience Refusal = 2 // the channel is not for you
	RefusedBehind   Refusal = 3 // you have newer history than I do
	RefusedDiffers  Refusal = 4 // what you have is no part of what I have
	RefusedFenced   Refusal = 5 // I am fenced
	RefusedResync   Refusal = 6 // I am taking a snapshot of it over myself
	RefusedInvalid  Refusal = 7 // the pull makes no sense
)

var refusals = [...]string{
	RefusedUnknown: "unknown", RefusedAudience: "not-in-audience", RefusedBehind: "server-behind", RefusedDiffers: "history-differs",
	RefusedFenced: "server-fenced", RefusedResync: "server-resyncing", RefusedInvalid: "invalid",
}

// String names the refusal as status and metrics do.
func (r Refusal) String() string {
	if int(r) < len(refusals) && refusals[r] != "" {
		return refusals[r]
	}
	return "unknown-refusal"
}

// Pull asks for a channel from a position on.
type Pull struct {
	Region  [16]byte
	Channel uint32
	Cursor  record.FeedPosition
	// Head is the last signed head that the receiver has. It proves the cursor, and lets the region find that it is not
	// what it was.
	Head   []byte
	Credit uint32
	// Stamp is the receiver's own time; whoever answers sends it back.
	Stamp int64
	// Generation of the channel's document that the receiver has.
	Generation uint64
	// Whole asks for a snapshot newer than the cursor, whatever the log has: what the receiver holds is a mixture.
	Whole bool
}

// Batch is records and the signed head that closes them; without records, a newer head of the same position.
type Batch struct {
	Records  [][]byte
	Head     []byte
	Document []byte // if it is news to the receiver
	// Stamp is that of the newest pull or probe, and AgeNanos how long before it the server last knew that its head was the
	// newest: 0 at home. Stamp is 0, which says nothing, where there is more to come than this.
	Stamp    int64
	AgeNanos int64
}

// Chunk is a part of a snapshot: the channel's live records with From <= key < To.
type Chunk struct {
	Target   []byte
	From, To []byte
	Items    []record.FeedItem
	Document []byte
}

// Refuse says that the server does not serve.
type Refuse struct {
	Reason Refusal
	// Head is the server's signed head of the channel: for the receiver it may be the proof that it is behind itself.
	Head []byte
}

// Message is one message; the field that belongs to Type is set.
type Message struct {
	Type    Type
	Region  [16]byte
	Channel uint32
	Pull    *Pull
	Credit  uint32
	Batch   *Batch
	Chunk   *Chunk
	Refuse  *Refuse
	Stamp   int64 // of a probe, or of the pull that is answered
}

const messageFormat = 1

// Append encodes a message: format, type, region, channel, body.
func Append(dst []byte, m *Message) []byte {
	dst = append(append(dst, messageFormat, byte(m.Type)), m.Region[:]...)
	dst = binary.AppendUvarint(dst, uint64(m.Channel))
	switch m.Type {
	case TypePull:
		p := m.Pull
		dst = binary.AppendUvarint(dst, p.Cursor.Incarnation)
		dst = binary.AppendUvarint(dst, p.Cursor.Sequence)
		dst = append(dst, p.Cursor.Chain[:]...)
		dst = appendBytes(dst, p.Head)
		dst = binary.AppendUvarint(dst, uint64(p.Credit))
		dst = binary.AppendVarint(dst, p.Stamp)
		whole := byte(0)
		if p.Whole {
			whole = 1
		}
		return append(binary.AppendUvarint(dst, p.Generation), whole)
	case TypeCredit:
		return binary.AppendUvarint(dst, uint64(m.Credit))
	case TypeProbe, TypeOpened:
		return binary.AppendVarint(dst, m.Stamp)
	case TypeStop:
		return dst
	case TypeBatch:
		b := m.Batch
		dst = appendBytes(appendBytes(dst, b.Head), b.Document)
		dst = binary.AppendVarint(binary.AppendVarint(dst, b.Stamp), b.AgeNanos)
		dst = binary.AppendUvarint(dst, uint64(len(b.Records)))
		for _, r := range b.Records {
			dst = appendBytes(dst, r)
		}
		return dst
	case TypeChunk:
		c := m.Chunk
		dst = appendBytes(appendBytes(appendBytes(appendBytes(dst, c.Target), c.From), c.To), c.Document)
		dst = binary.AppendUvarint(dst, uint64(len(c.Items)))
		for i := range c.Items {
			dst = appendBytes(appendBytes(dst, c.Items[i].Key), c.Items[i].Entry)
		}
		return dst
	default:
		return appendBytes(append(dst, byte(m.Refuse.Reason)), m.Refuse.Head)
	}
}

func appendBytes(dst, b []byte) []byte {
	return append(binary.AppendUvarint(dst, uint64(len(b))), b...)
}

// Decode reads a message. Its slices point into b. Bytes after a body are those of a later version, and left alone.
func Decode(b []byte) (Message, error) {
	d := decoder{b: b}
	format := d.uint8()
	m := Message{Type: Type(d.uint8()), Region: d.id(), Channel: d.uint32()}
	if len(b) > 0 && format != messageFormat {
		return Message{}, fault.New(fault.Unsupported, "a federation message has format %d", format).
			WithHint("a newer version wrote it: upgrade this region")
	}
	if d.bad {
		return Message{}, errMessage(b)
	}
	switch m.Type {
	case TypePull:
		m.Pull = &Pull{
			Region: m.Region, Channel: m.Channel,
			Cursor: record.FeedPosition{Incarnation: d.uint64(), Sequence: d.uint64(), Chain: d.hash()},
			Head:   d.bytes(), Credit: d.uint32(), Stamp: d.int64(), Generation: d.uint64(), Whole: d.uint8() != 0,
		}
	case TypeCredit:
		m.Credit = d.uint32()
	case TypeProbe, TypeOpened:
		m.Stamp = d.int64()
	case TypeStop:
	case TypeBatch:
		m.Batch = &Batch{Head: d.bytes(), Document: d.bytes(), Stamp: d.int64(), AgeNanos: d.int64()}
		m.Batch.Records = make([][]byte, d.count(1))
		for i := range m.Batch.Records {
			m.Batch.Records[i] = d.bytes()
		}
	case TypeChunk:
		m.Chunk = &Chunk{Target: d.bytes(), From: d.bytes(), To: d.bytes(), Document: d.bytes()}
		m.Chunk.Items = make([]record.FeedItem, d.count(2))
		for i := range m.Chunk.Items {
			m.Chunk.Items[i] = record.FeedItem{Key: d.bytes(), Entry: d.bytes()}
		}
	case TypeRefuse:
		m.Refuse = &Refuse{Reason: Refusal(d.uint8()), Head: d.bytes()}
	default:
		return Message{}, fault.New(fault.Unsupported, "a federation message has type %d", m.Type)
	}
	if d.bad {
		return Message{}, errMessage(b)
	}
	return m, nil
}

func errMessage(b []byte) error {
	return fault.New(fault.Invalid, "a federation message of %d bytes does not parse", len(b))
}

// decoder reads fields from the front of b; after the first that does not fit it gives zeros.
type decoder struct {
	b   []byte
	bad bool
}

func (d *decoder) take(n uint64) []byte {
	if d.bad || n > uint64(len(d.b)) {
		d.b, d.bad = nil, true
		return nil
	}
	v := d.b[:n:n]
	d.b = d.b[n:]
	return v
}

func (d *decoder) uint8() uint8 {
	if b := d.take(1); b != nil {
		return b[0]
	}
	return 0
}

func (d *decoder) uint64() uint64 {
	v, n := binary.Uvarint(d.b)
	if n <= 0 {
		d.b, d.bad = nil, true
		return 0
	}
	d.b = d.b[n:]
	return v
}

func (d *decoder) uint32() uint32 {
	v := d.uint64()
	if v > 1<<32-1 {
		d.b, d.bad = nil, true
		return 0
	}
	return uint32(v)
}

func (d *decoder) int64() int64 {
	v, n := binary.Varint(d.b)
	if n <= 0 {
		d.b, d.bad = nil, true
		return 0
	}
	d.b = d.b[n:]
	return v
}

func (d *decoder) id() (id [16]byte) {
	copy(id[:], d.take(16))
	return id
}

func (d *decoder) hash() (h [32]byte) {
	copy(h[:], d.take(32))
	return h
}

func (d *decoder) bytes() []byte {
	n := d.uint64()
	if n == 0 {
		return nil
	}
	return d.take(n)
}

// count reads the number of elements that follow, of at least size bytes each.
func (d *decoder) count(size int) int {
	n := d.uint64()
	if n > uint64(len(d.b)/size) {
		d.b, d.bad = nil, true
		return 0
	}
	return int(n)
}
