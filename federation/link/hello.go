package link

import (
	"encoding/binary"
	"io"

	"supercluster/internal/fault"
)

// The versions of the protocol that this release speaks. A peer whose range overlaps is served with the highest
// version of both, so that regions are upgraded one by one.
const (
	minVersion = 1
	maxVersion = 1 + raised
)

type versionRange struct{ min, max uint16 }

// A hello is the first bytes of each end on the first stream:
//
//	"SCLK" | length of the fields u16 | fields
//
// A field is id u16, length u16, value. Fields that are not known are skipped: newer peers have more. All numbers
// are big-endian.
const helloMagic = "SCLK"

// maxHello bounds the fields of a hello.
const maxHello = 4 << 10

// Fields of a hello. Numbers travel: they are never reused.
const (
	fieldMinVersion = 1
	fieldMaxVersion = 2
	fieldLevel      = 3
	fieldMaxFrame   = 4
	fieldMaxMessage = 5
	fieldRegion     = 6
	fieldExtra      = 7 // of whoever dialed: one more connection beside the first
)

// hello is what an end says of itself.
type hello struct {
	versions   versionRange
	level      uint32
	maxFrame   uint32
	maxMessage uint32
	region     [16]byte
	extra      bool
}

func (h *hello) encode() []byte {
	b := append([]byte(helloMagic), 0, 0)
	field := func(id uint16, value []byte) {
		b = binary.BigEndian.AppendUint16(b, id)
		b = binary.BigEndian.AppendUint16(b, uint16(len(value)))
		b = append(b, value...)
	}
	field(fieldMinVersion, binary.BigEndian.AppendUint16(nil, h.versions.min))
	field(fieldMaxVersion, binary.BigEndian.AppendUint16(nil, h.versions.max))
	field(fieldLevel, binary.BigEndian.AppendUint32(nil, h.level))
	field(fieldMaxFrame, binary.BigEndian.AppendUint32(nil, h.maxFrame))
	field(fieldMaxMessage, binary.BigEndian.AppendUint32(nil, h.maxMessage))
	field(fieldRegion, h.region[:])
	if h.extra {
		field(fieldExtra, nil)
	}
	binary.BigEndian.PutUint16(b[len(helloMagic):], uint16(len(b)-len(helloMagic)-2))
	return b
}

// readHello reads one hello.
func readHello(r io.Reader) (hello, error) {
	var head [len(helloMagic) + 2]byte
	if _, err := io.ReadFull(r, head[:]); err != nil {
		return hello{}, asFault(err)
	}
	if string(head[:len(helloMagic)]) != helloMagic {
		return hello{}, fault.New(fault.Invalid, "not the link of a region: wrong first bytes")
	}
	length := binary.BigEndian.Uint16(head[len(helloMagic):])
	if length > maxHello {
		return hello{}, fault.New(fault.TooLarge, "hello of %d bytes is over the limit of %d", length, maxHello)
	}
	fields := make([]byte, length)
	if _, err := io.ReadFull(r, fields); err != nil {
		return hello{}, asFault(err)
	}
	return decodeHello(fields)
}

func decodeHello(b []byte) (hello, error) {
	var h hello
	for len(b) > 0 {
		if len(b) < 4 {
			return h, fault.New(fault.Corrupt, "hello is too short")
		}
		id, length := binary.BigEndian.Uint16(b), int(binary.BigEndian.Uint16(b[2:]))
		if b = b[4:]; len(b) < length {
			return h, fault.New(fault.Corrupt, "field %d of a hello is too short", id)
		}
		if !h.set(id, b[:length]) {
			return h, fault.New(fault.Corrupt, "field %d of a hello has %d bytes", id, length)
		}
		b = b[length:]
	}
	return h, nil
}

// set takes one field; false when its length is wrong.
func (h *hello) set(id uint16, value []byte) bool {
	u16 := func(to *uint16) bool {
		if len(value) == 2 {
			*to = binary.BigEndian.Uint16(value)
		}
		return len(value) == 2
	}
	u32 := func(to *uint32) bool {
		if len(value) == 4 {
			*to = binary.BigEndian.Uint32(value)
		}
		return len(value) == 4
	}
	switch id {
	case fieldMinVersion:
		return u16(&h.versions.min)
	case fieldMaxVersion:
		return u16(&h.versions.max)
	case fieldLevel:
		return u32(&h.level)
	case fieldMaxFrame:
		return u32(&h.maxFrame)
	case fieldMaxMessage:
		return u32(&h.maxMessage)
	case fieldRegion:
		return len(value) == copy(h.region[:], value) && len(value) == len(h.region)
	case fieldExtra:
		h.extra = true
	}
	return true
}

// terms are what two hellos agree on.
type terms struct {
	version uint16
	level   uint32
	send    bounds // what the peer takes
}

// agree compares two hellos; the certificate said that the peer is of the region given.
func agree(own, peer hello, region [16]byte) (terms, error) {
	t := terms{
		version: min(own.versions.max, peer.versions.max),
		level:   min(own.level, peer.level),
		send:    bounds{frame: min(own.maxFrame, peer.maxFrame), message: peer.maxMessage},
	}
	switch {
	case peer.versions.min > peer.versions.max || peer.versions.max == 0:
		return t, fault.New(fault.Invalid, "versions %d to %d are no range", peer.versions.min, peer.versions.max)
	case t.version < own.versions.min || t.version < peer.versions.min:
		return t, fault.New(fault.Unsupported, "this end speaks versions %d to %d of the federation protocol, the other %d to %d",
			own.versions.min, own.versions.max, peer.versions.min, peer.versions.max).
			WithHint("upgrade the older region")
	case peer.region != region:
		return t, fault.New(fault.Denied, "the hello and the certificate of the peer name different regions")
	case peer.maxFrame < minFrame || peer.maxMessage < peer.maxFrame:
		return t, fault.New(fault.Invalid, "the peer takes frames of %d and messages of %d bytes, which is too little",
			peer.maxFrame, peer.maxMessage)
	}
	return t, nil
}
