package link

import (
	"encoding/binary"
	"io"

	"supercluster/internal/fault"
)

// A message is one frame or more; a frame is a header of 12 bytes and a body:
//
//	body length u32 | size of the whole message u32 | type u8 | flags u8 | 0 0
//
// All numbers are big-endian. The size is that of the message before compression; the bodies of a compressed message
// together are smaller than it. All frames of a message but the last have flagMore, and a body.
const headerSize = 12

const (
	flagMore  = 1 << 0
	flagZstd  = 1 << 1
	flagsKnow = flagMore | flagZstd
)

// bounds are the limits of what an end takes.
type bounds struct {
	frame   uint32 // body of a frame
	message uint32
}

type header struct {
	length uint32
	size   uint32
	kind   uint8
	flags  uint8
}

func (h header) append(b []byte) []byte {
	b = binary.BigEndian.AppendUint32(b, h.length)
	b = binary.BigEndian.AppendUint32(b, h.size)
	return append(b, h.kind, h.flags, 0, 0)
}

// parseHeader checks a header against the limits, before anything is allocated for what it promises.
func parseHeader(b []byte, limit bounds) (header, error) {
	h := header{
		length: binary.BigEndian.Uint32(b), size: binary.BigEndian.Uint32(b[4:]),
		kind: b[8], flags: b[9],
	}
	switch {
	case h.length > limit.frame:
		return h, fault.New(fault.TooLarge, "frame of %d bytes is over the limit of %d", h.length, limit.frame)
	case h.size > limit.message:
		return h, fault.New(fault.TooLarge, "message of %d bytes is over the limit of %d", h.size, limit.message)
	case h.flags&^flagsKnow != 0 || b[10]|b[11] != 0:
		return h, fault.New(fault.Unsupported, "frame with unknown flags: the peer does not speak this protocol")
	case h.length == 0 && h.flags != 0:
		return h, fault.New(fault.Corrupt, "frame without a body where one belongs")
	}
	return h, nil
}

// appendMessage appends the frames of a message: body as it travels, size before compression.
func appendMessage(b []byte, kind uint8, body []byte, size int, zstd bool, frame uint32) []byte {
	for {
		part := body[:min(len(body), int(frame))]
		body = body[len(part):]
		h := header{length: uint32(len(part)), size: uint32(size), kind: kind}
		if len(body) > 0 {
			h.flags |= flagMore
		}
		if zstd {
			h.flags |= flagZstd
		}
		b = append(h.append(b), part...)
		if len(body) == 0 {
			return b
		}
	}
}

// parts is the number of frames of a message.
func parts(body int, frame uint32) int { return max(1, (body+int(frame)-1)/int(frame)) }

// frameReader reads messages of one stream.
type frameReader struct {
	r      io.Reader
	limit  bounds
	unpack func(packed []byte, size int) ([]byte, error)
	head   [headerSize]byte
	frames int // read so far
}

// next reads one message; its body is the caller's. io.EOF says that the stream ended between two messages.
func (f *frameReader) next() (Message, error) {
	first, err := f.header()
	if err != nil {
		return Message{}, err
	}
	body, err := f.body(nil, first)
	if err != nil {
		return Message{}, err
	}
	for h := first; h.flags&flagMore != 0; {
		if h, err = f.header(); err != nil {
			return Message{}, unexpected(err)
		}
		if h.kind != first.kind || h.size != first.size || h.flags|flagMore != first.flags {
			return Message{}, fault.New(fault.Corrupt, "part of another message inside a message")
		}
		if body, err = f.body(body, h); err != nil {
			return Message{}, err
		}
	}
	m := Message{Type: first.kind, Body: body}
	switch {
	case first.flags&flagZstd != 0:
		m.Body, err = f.unpack(body, int(first.size))
	case len(body) != int(first.size):
		err = fault.New(fault.Corrupt, "message of %d bytes where %d were announced", len(body), first.size)
	}
	return m, err
}

func (f *frameReader) header() (header, error) {
	if _, err := io.ReadFull(f.r, f.head[:]); err != nil {
		return header{}, err
	}
	f.frames++
	return parseHeader(f.head[:], f.limit)
}

// body appends the body of a frame. Memory grows with what has arrived, not with what the header promised.
func (f *frameReader) body(buf []byte, h header) ([]byte, error) {
	const step = 64 << 10
	end := len(buf) + int(h.length)
	if end > int(h.size) {
		return nil, fault.New(fault.Corrupt, "more than the %d bytes that were announced", h.size)
	}
	for len(buf) < end {
		have := len(buf)
		if have == cap(buf) {
			grown := make([]byte, have, min(end, max(2*have, step)))
			copy(grown, buf)
			buf = grown
		}
		buf = buf[:min(end, cap(buf))]
		if _, err := io.ReadFull(f.r, buf[have:]); err != nil {
			return nil, unexpected(err)
		}
	}
	return buf, nil
}

func unexpected(err error) error {
	if err == io.EOF {
		return io.ErrUnexpectedEOF
	}
	return err
}
