package wire

import (
	"encoding/binary"
	"hash/crc32"
	"io"

	"supercluster/internal/fault"
)

// A frame is a header of 12 bytes and a payload:
//
//	payload length u32 | type u8 | 0 0 0 | CRC32C of the 8 bytes before and of the payload u32
//
// All numbers are big-endian. TLS does not make the checksum needless: it ends where TLS does, while the checksum
// is made where the payload is encoded.
const headerSize = 12

// frameType says what a payload is. Numbers travel: they are never reused.
type frameType uint8

const (
	frameHello    frameType = 1 // the first frame of whoever dialed
	frameWelcome  frameType = 2 // its answer
	frameBatch    frameType = 3 // Raft messages
	frameChunk    frameType = 4 // a chunk of a snapshot
	frameEnd      frameType = 5 // the last frame of a snapshot connection; the receiver answers it in kind
	frameRequest  frameType = 6
	frameResponse frameType = 7
)

// Limits of payloads.
const (
	maxHello   = 4 << 10
	maxBatch   = 8 << 20
	maxChunk   = 4 << 20
	maxMessage = MaxPayload + 64 // of the node channel: with its envelope
)

// keepBuffer is the largest read buffer that a connection keeps between frames.
const keepBuffer = 1 << 20

// castagnoli is read only; processors have an instruction for it.
var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// sealFrame fills in the header of a frame whose payload starts at headerSize.
func sealFrame(frame []byte, t frameType) []byte {
	binary.BigEndian.PutUint32(frame, uint32(len(frame)-headerSize))
	frame[4], frame[5], frame[6], frame[7] = byte(t), 0, 0, 0
	binary.BigEndian.PutUint32(frame[8:], checksum(frame[:8], frame[headerSize:]))
	return frame
}

// newFrame makes a whole frame of a payload.
func newFrame(t frameType, payload []byte) []byte {
	frame := make([]byte, headerSize, headerSize+len(payload))
	return sealFrame(append(frame, payload...), t)
}

func checksum(head, payload []byte) uint32 {
	return crc32.Update(crc32.Update(0, castagnoli, head), castagnoli, payload)
}

// frameReader reads frames of one connection into a buffer that it reuses.
type frameReader struct {
	r      io.Reader
	limit  uint32
	header [headerSize]byte
	buffer []byte
	// begun is called when a header has arrived, before the payload is read; nil is allowed.
	begun func()
}

// next reads one frame. The payload is valid until the next call.
func (f *frameReader) next() (frameType, []byte, error) {
	if _, err := io.ReadFull(f.r, f.header[:]); err != nil {
		return 0, nil, err
	}
	if f.begun != nil {
		f.begun()
	}
	length := binary.BigEndian.Uint32(f.header[:])
	t := frameType(f.header[4])
	if length > f.limit {
		return 0, nil, fault.New(fault.TooLarge, "frame of %d bytes is over the limit of %d", length, f.limit)
	}
	if f.header[5]|f.header[6]|f.header[7] != 0 {
		return 0, nil, fault.New(fault.Unsupported, "frame with unknown flags: the peer is newer, or does not speak this protocol")
	}
	payload, err := f.payload(int(length))
	if err != nil {
		return 0, nil, err
	}
	if checksum(f.header[:8], payload) != binary.BigEndian.Uint32(f.header[8:]) {
		return 0, nil, fault.New(fault.Corrupt, "frame with a wrong checksum")
	}
	return t, payload, nil
}

// payload reads n bytes. Memory grows with what has arrived, not with what the header promised.
func (f *frameReader) payload(n int) ([]byte, error) {
	const step = 64 << 10
	if cap(f.buffer) > keepBuffer && n <= keepBuffer {
		f.buffer = nil
	}
	buf := f.buffer[:0]
	for len(buf) < n {
		have := len(buf)
		want := n
		if want > cap(buf) {
			want = min(n, max(cap(buf), 2*have, step))
		}
		if want > cap(buf) {
			grown := make([]byte, have, want)
			copy(grown, buf)
			buf = grown
		}
		if _, err := io.ReadFull(f.r, buf[have:want]); err != nil {
			return nil, unexpected(err)
		}
		buf = buf[:want]
	}
	f.buffer = buf
	return buf, nil
}

func unexpected(err error) error {
	if err == io.EOF {
		return io.ErrUnexpectedEOF
	}
	return err
}
