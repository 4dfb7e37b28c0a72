package backup

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"hash"
	"hash/crc32"
	"io"

	"github.com/klauspost/compress/zstd"

	"supercluster/internal/fault"
)

// Reader reads a backup: Header first, then the snapshot stream until io.EOF, which comes only after the end of the file
// was seen to be right.
type Reader struct {
	Header Header
	// Trailer is valid after io.EOF.
	Trailer Trailer

	r       io.Reader
	digest  hash.Hash
	zstd    *zstd.Decoder
	frame   []byte
	decoded []byte
	block   []byte // the rest of decoded
	bytes   uint64
	blocks  uint64
	err     error
}

// NewReader reads the header.
func NewReader(r io.Reader) (*Reader, error) {
	decoder, err := zstd.NewReader(nil, zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxMemory(blockBytes), zstd.WithDecodeAllCapLimit(true))
	if err != nil {
		return nil, fault.Wrap(fault.Internal, err, "decompression cannot begin")
	}
	b := &Reader{r: r, digest: sha256.New(), zstd: decoder, decoded: make([]byte, 0, blockBytes)}
	b.Header, err = ReadHeader(io.TeeReader(r, b.digest))
	if err != nil {
		b.Close()
	}
	return b, err
}

// Close lets go of what reading needed. It does not close the reader below.
func (b *Reader) Close() { b.zstd.Close() }

// Read gives a part of the snapshot stream.
func (b *Reader) Read(p []byte) (int, error) {
	for len(b.block) == 0 {
		if b.err != nil {
			return 0, b.err
		}
		b.err = b.next()
	}
	n := copy(p, b.block)
	b.block = b.block[n:]
	return n, nil
}

// next reads a block; io.EOF is the end of a backup that is whole.
func (b *Reader) next() error {
	var head [8]byte
	if err := fill(b.r, head[:], "blocks"); err != nil {
		return err
	}
	size, want := binary.LittleEndian.Uint32(head[:]), binary.LittleEndian.Uint32(head[4:])
	if size > maxFrame {
		return damaged("block %d of the backup is damaged: it says that it has %d bytes", b.blocks, size)
	}
	if uint32(cap(b.frame)) < size {
		b.frame = make([]byte, size)
	}
	b.frame = b.frame[:size]
	if err := fill(b.r, b.frame, "blocks"); err != nil {
		return err
	}
	if sum := crc32.Update(crc32.Checksum(head[:4], castagnoli), castagnoli, b.frame); sum != want {
		return damaged("block %d of the backup has checksum %08x, not %08x", b.blocks, sum, want)
	}
	b.digest.Write(head[:])
	b.digest.Write(b.frame)
	b.blocks++
	if size == 0 {
		return b.tail()
	}
	block, err := b.zstd.DecodeAll(b.frame, b.decoded[:0])
	if err != nil || len(block) == 0 {
		return damaged("block %d of the backup does not decompress: %v", b.blocks-1, err)
	}
	b.block = block
	b.bytes += uint64(len(block))
	return nil
}

func (b *Reader) tail() error {
	raw := make([]byte, trailerSize)
	if err := fill(b.r, raw, "trailer"); err != nil {
		return err
	}
	t, err := decodeTrailer(raw)
	if err != nil {
		return err
	}
	b.digest.Write(raw)
	got := make([]byte, digestSize)
	if err := fill(b.r, got, "digest"); err != nil {
		return err
	}
	switch {
	case !bytes.Equal(got, b.digest.Sum(nil)):
		return damaged("the digest of the backup is wrong")
	case t.Bytes != b.bytes:
		return damaged("the backup has %d bytes of state, not %d", b.bytes, t.Bytes)
	}
	if n, _ := io.ReadFull(b.r, got[:1]); n > 0 {
		return damaged("something follows the end of the backup")
	}
	b.Trailer = t
	return io.EOF
}
