package backup

import (
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"hash"
	"hash/crc32"
	"io"

	"github.com/klauspost/compress/zstd"

	"supercluster/internal/fault"
)

// Writer writes a backup. What is written to it is the snapshot stream.
type Writer struct {
	w      io.Writer
	digest hash.Hash
	zstd   *zstd.Encoder
	block  []byte
	frame  []byte
	bytes  uint64
	err    error
}

// NewWriter writes the header.
func NewWriter(w io.Writer, h *Header) (*Writer, error) {
	encoder, err := zstd.NewWriter(nil, zstd.WithEncoderConcurrency(1), zstd.WithEncoderCRC(false), zstd.WithWindowSize(blockBytes))
	if err != nil {
		return nil, fault.Wrap(fault.Internal, err, "compression cannot begin")
	}
	head, err := appendHeader(nil, h)
	if err != nil {
		return nil, err
	}
	b := &Writer{w: w, digest: sha256.New(), zstd: encoder}
	b.put(head)
	return b, b.err
}

func (b *Writer) put(p []byte) {
	if b.err != nil {
		return
	}
	b.digest.Write(p)
	if _, err := b.w.Write(p); err != nil {
		b.err = fmt.Errorf("write the backup: %w", err)
	}
}

// Write takes a part of the snapshot stream.
func (b *Writer) Write(p []byte) (int, error) {
	n := len(p)
	for len(p) > 0 && b.err == nil {
		take := min(len(p), blockBytes-len(b.block))
		b.block = append(b.block, p[:take]...)
		p = p[take:]
		if len(b.block) == blockBytes {
			b.flush()
		}
	}
	return n - len(p), b.err
}

func (b *Writer) flush() {
	b.bytes += uint64(len(b.block))
	b.frame = b.zstd.EncodeAll(b.block, b.frame[:0])
	b.block = b.block[:0]
	b.putBlock(b.frame)
}

func (b *Writer) putBlock(frame []byte) {
	var head [8]byte
	binary.LittleEndian.PutUint32(head[:], uint32(len(frame)))
	sum := crc32.Update(crc32.Checksum(head[:4], castagnoli), castagnoli, frame)
	binary.LittleEndian.PutUint32(head[4:], sum)
	b.put(head[:])
	b.put(frame)
}

// Close ends the backup of a state with so many rows and a hash. It does not close the writer below.
func (b *Writer) Close(rows uint64, sum [32]byte) (Trailer, error) {
	if len(b.block) > 0 {
		b.flush()
	}
	b.putBlock(nil)
	t := Trailer{Rows: rows, Bytes: b.bytes, Hash: sum}
	b.put(appendTrailer(nil, &t))
	b.put(b.digest.Sum(nil))
	return t, b.err
}
