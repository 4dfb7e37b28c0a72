package record

import "encoding/binary"

// Transaction is the row of one revision: who changed what, without values.
type Transaction struct {
	Writer    Writer
	Trace     Trace
	RequestID string
	// Home and HomePosition say where an imported transaction was made. Zero for local ones.
	Home         [16]byte
	HomePosition Position
	Changes      []Change
}

// Change is one change of a transaction.
type Change struct {
	Type EventType
	Key  Key
	// Previous is the modify revision of the version before, tombstones included; 0 when there was none.
	Previous uint64
}

// Flags of a transaction row: which optional parts follow.
const (
	transactionTrace   = 1 << 0
	transactionRequest = 1 << 1
	transactionHome    = 1 << 2
	transactionKnown   = 1<<3 - 1
)

// AppendTransaction appends the value of a transaction row: format, flags, writer, then what the flags name of trace,
// request id and home, then the changes.
func AppendTransaction(dst []byte, t *Transaction) []byte {
	traced, imported := t.Trace != Trace{}, t.Home != [16]byte{}
	dst = append(dst, transactionFormat, flag(traced, transactionTrace)|
		flag(t.RequestID != "", transactionRequest)|flag(imported, transactionHome))
	dst = appendWriter(dst, &t.Writer)
	if traced {
		dst = appendTrace(dst, &t.Trace)
	}
	if t.RequestID != "" {
		dst = appendString(dst, t.RequestID)
	}
	if imported {
		dst = append(dst, t.Home[:]...)
		dst = binary.AppendUvarint(dst, uint64(t.HomePosition.Shard))
		dst = binary.AppendUvarint(dst, t.HomePosition.Revision)
	}
	dst = binary.AppendUvarint(dst, uint64(len(t.Changes)))
	for i := range t.Changes {
		change := &t.Changes[i]
		dst = AppendKey(append(dst, byte(change.Type)), change.Key)
		dst = binary.AppendUvarint(dst, change.Previous)
	}
	return dst
}

// DecodeTransaction reads the value of a transaction row.
func DecodeTransaction(b []byte) (t Transaction, err error) {
	c := cursor{b: b}
	format, flags := c.uint8(), c.uint8()
	if !c.bad && (format != transactionFormat || flags&^transactionKnown != 0) {
		return Transaction{}, errUnsupported("a transaction row has format %d with flags %#02x", format, flags)
	}
	t.Writer = c.writer()
	if flags&transactionTrace != 0 {
		t.Trace = c.trace()
	}
	if flags&transactionRequest != 0 {
		t.RequestID = c.string()
	}
	if flags&transactionHome != 0 {
		t.Home = c.id()
		t.HomePosition = Position{Shard: c.uint32(), Revision: c.uint64()}
	}
	if n := c.count(1 + keyHeaderSize + terminatorSize + 1); n > 0 {
		t.Changes = make([]Change, n)
	}
	for i := range t.Changes {
		t.Changes[i] = c.change()
	}
	if !c.end() {
		return Transaction{}, errCorrupt("a transaction row of %d bytes does not parse", len(b))
	}
	return t, nil
}

func (c *cursor) change() (ch Change) {
	ch.Type = EventType(c.uint8())
	key, rest, err := DecodeKey(c.b)
	if err != nil || ch.Type != EventPut && ch.Type != EventDelete {
		c.fail()
		return Change{}
	}
	ch.Key, c.b = key, rest
	ch.Previous = c.uint64()
	return ch
}
