package wire

import (
	"encoding/binary"

	"supercluster/internal/fault"
)

// protocol is the version of frames and first frames. A peer of another version is refused.
const protocol = 1

// helloMagic opens every first frame, so that a port scanner or an HTTP client is told apart from a peer.
const helloMagic = "SCW"

// hello is the first frame of whoever dialed.
type hello struct {
	kind     Kind
	region   string
	regionID [16]byte // zero while it is not known
	from     string
	to       string
}

// welcome is its answer.
type welcome struct {
	// refusal says why the connection is not served; empty when it is.
	refusal  string
	kind     fault.Kind // of the refusal
	region   string
	regionID [16]byte
	// known: the region exists and has seen the node that asks before.
	known bool
}

func (h *hello) encode() []byte {
	b := append([]byte(nil), helloMagic...)
	b = append(b, protocol, byte(h.kind))
	b = append(b, h.regionID[:]...)
	b = appendText(b, h.region)
	b = appendText(b, h.from)
	return appendText(b, h.to)
}

func decodeHello(b []byte) (hello, error) {
	var h hello
	d := decoder{b: b}
	if string(d.take(len(helloMagic))) != helloMagic {
		return h, fault.New(fault.Invalid, "not a node of a region: wrong first bytes")
	}
	if v := d.u8(); v != protocol {
		return h, fault.New(fault.Unsupported, "protocol version %d, this node speaks %d", v, protocol)
	}
	h.kind = Kind(d.u8())
	copy(h.regionID[:], d.take(16))
	h.region, h.from, h.to = d.text(), d.text(), d.text()
	return h, d.done()
}

func (w *welcome) encode() []byte {
	b := []byte{protocol, byte(w.kind), 0}
	if w.known {
		b[2] = 1
	}
	b = append(b, w.regionID[:]...)
	b = appendText(b, w.region)
	return appendText(b, w.refusal)
}

func decodeWelcome(b []byte) (welcome, error) {
	var w welcome
	d := decoder{b: b}
	if v := d.u8(); v != protocol {
		return w, fault.New(fault.Unsupported, "protocol version %d, this node speaks %d", v, protocol)
	}
	w.kind = fault.Kind(d.u8())
	w.known = d.u8() == 1
	copy(w.regionID[:], d.take(16))
	w.region, w.refusal = d.text(), d.text()
	return w, d.done()
}

// appendText appends a length of two bytes and the text, cut at 1,024 bytes.
func appendText(b []byte, s string) []byte {
	s = s[:min(len(s), 1024)]
	b = binary.BigEndian.AppendUint16(b, uint16(len(s)))
	return append(b, s...)
}

// decoder reads fields off a payload; the first shortage sticks and shows in done.
type decoder struct {
	b     []byte
	short bool
}

func (d *decoder) take(n int) []byte {
	if d.short || len(d.b) < n {
		d.short = true
		return make([]byte, n)
	}
	v := d.b[:n]
	d.b = d.b[n:]
	return v
}

func (d *decoder) u8() byte     { return d.take(1)[0] }
func (d *decoder) u16() uint16  { return binary.BigEndian.Uint16(d.take(2)) }
func (d *decoder) u32() uint32  { return binary.BigEndian.Uint32(d.take(4)) }
func (d *decoder) u64() uint64  { return binary.BigEndian.Uint64(d.take(8)) }
func (d *decoder) text() string { return string(d.take(int(d.u16()))) }

// rest gives what is left.
func (d *decoder) rest() []byte {
	v := d.b
	d.b = nil
	return v
}

func (d *decoder) done() error {
	switch {
	case d.short:
		return fault.New(fault.Corrupt, "frame is too short")
	case len(d.b) > 0:
		return fault.New(fault.Corrupt, "frame has %d bytes too many", len(d.b))
	default:
		return nil
	}
}
