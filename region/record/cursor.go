package record

import (
	"encoding/binary"
	"math"
)

// cursor reads fields from the front of b. After the first field that does not fit, bad is set and every read gives
// zero, so a decoder checks once at its end.
type cursor struct {
	b   []byte
	bad bool
}

func (c *cursor) fail() {
	c.b, c.bad = nil, true
}

func (c *cursor) uint8() uint8 {
	if len(c.b) == 0 {
		c.fail()
		return 0
	}
	v := c.b[0]
	c.b = c.b[1:]
	return v
}

func (c *cursor) uint64() uint64 {
	if len(c.b) > 0 && c.b[0] < 0x80 { // most numbers are small
		v := c.b[0]
		c.b = c.b[1:]
		return uint64(v)
	}
	v, n := binary.Uvarint(c.b)
	if n <= 0 {
		c.fail()
		return 0
	}
	c.b = c.b[n:]
	return v
}

func (c *cursor) uint32() uint32 {
	v := c.uint64()
	if v > math.MaxUint32 {
		c.fail()
		return 0
	}
	return uint32(v)
}

func (c *cursor) uint16() uint16 {
	v := c.uint64()
	if v > math.MaxUint16 {
		c.fail()
		return 0
	}
	return uint16(v)
}

func (c *cursor) int64() int64 {
	v, n := binary.Varint(c.b)
	if n <= 0 {
		c.fail()
		return 0
	}
	c.b = c.b[n:]
	return v
}

// count reads the number of elements that follow, of at least size bytes each, so that bad bytes cannot ask for memory.
func (c *cursor) count(size int) int {
	v := c.uint64()
	if v > uint64(len(c.b)/size) {
		c.fail()
		return 0
	}
	return int(v)
}

// take gives the next n bytes, without room to append.
func (c *cursor) take(n int) []byte {
	if n < 0 || n > len(c.b) {
		c.fail()
		return nil
	}
	v := c.b[:n:n]
	c.b = c.b[n:]
	return v
}

// bytes reads a length and as many bytes; none are nil.
func (c *cursor) bytes() []byte {
	n := c.uint64()
	if n == 0 {
		return nil
	}
	if n > uint64(len(c.b)) {
		c.fail()
		return nil
	}
	return c.take(int(n))
}

func (c *cursor) string() string { return string(c.bytes()) }

func (c *cursor) id() (id [16]byte) {
	copy(id[:], c.take(len(id)))
	return id
}

// end reports whether every field fitted and nothing is left.
func (c *cursor) end() bool { return !c.bad && len(c.b) == 0 }

func appendString(dst []byte, s string) []byte {
	return append(binary.AppendUvarint(dst, uint64(len(s))), s...)
}

func appendBytes(dst, b []byte) []byte {
	return append(binary.AppendUvarint(dst, uint64(len(b))), b...)
}

// flag gives bit if set, else 0.
func flag(set bool, bit uint8) uint8 {
	if set {
		return bit
	}
	return 0
}
