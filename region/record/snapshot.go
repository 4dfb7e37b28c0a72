package record

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"hash"
	"io"

	"supercluster/internal/fault"
)

// The snapshot stream: a header (magic, format, feature level), blocks (length, CRC32C, rows), an empty block, the
// number of rows, and the SHA-256 of all before it. Rows stand in key order: key length, key, value length, value.
const (
	snapshotMagic      = "SCSNAP"
	snapshotFormat     = 1
	snapshotHeadSize   = len(snapshotMagic) + 1 + 4
	snapshotBlockBytes = 128 << 10
	// snapshotMaxBlock bounds what a reader allocates: a block has at least one row, and no row is nearly that large.
	snapshotMaxBlock = 16 << 20
)

// SnapshotWriter writes a snapshot stream.
type SnapshotWriter struct {
	w      io.Writer
	digest hash.Hash
	block  []byte
	last   []byte
	rows   uint64
	err    error
}

// NewSnapshotWriter begins a stream of a state that needs a feature level.
func NewSnapshotWriter(w io.Writer, level uint32) *SnapshotWriter {
	s := &SnapshotWriter{w: w, digest: sha256.New()}
	head := append([]byte(snapshotMagic), snapshotFormat)
	s.write(binary.LittleEndian.AppendUint32(head, level))
	return s
}

func (s *SnapshotWriter) write(b []byte) {
	if s.err != nil {
		return
	}
	s.digest.Write(b)
	if _, err := s.w.Write(b); err != nil {
		s.err = fmt.Errorf("write the snapshot stream: %w", err)
	}
}

// Add writes one row. Keys must ascend.
func (s *SnapshotWriter) Add(key, value []byte) error {
	if s.err == nil && s.rows > 0 && bytes.Compare(key, s.last) <= 0 {
		s.err = fault.New(fault.Internal, "the rows of a snapshot are not in order")
	}
	s.last = append(s.last[:0], key...)
	s.rows++
	s.block = appendBytes(appendBytes(s.block, key), value)
	if len(s.block) >= snapshotBlockBytes {
		s.flush()
	}
	return s.err
}

func (s *SnapshotWriter) flush() {
	var head [8]byte
	binary.LittleEndian.PutUint32(head[:], uint32(len(s.block)))
	binary.LittleEndian.PutUint32(head[4:], Checksum(s.block))
	s.write(head[:])
	s.write(s.block)
	s.block = s.block[:0]
}

// Close ends the stream. It does not close the writer below.
func (s *SnapshotWriter) Close() error {
	if len(s.block) > 0 {
		s.flush()
	}
	s.write(make([]byte, 8))
	s.write(binary.LittleEndian.AppendUint64(nil, s.rows))
	s.write(s.digest.Sum(nil))
	return s.err
}

// ReadSnapshot reads a snapshot stream and calls add for every row, in key order; what add gets is valid until it
// returns. Only when ReadSnapshot returns nil is the state that was added whole.
func ReadSnapshot(r io.Reader, add func(key, value []byte) error) error {
	s := snapshotReader{r: r, digest: sha256.New(), add: add}
	if err := s.head(); err != nil {
		return err
	}
	for {
		more, err := s.nextBlock()
		if err != nil {
			return err
		}
		if !more {
			return s.tail()
		}
	}
}

type snapshotReader struct {
	r      io.Reader
	digest hash.Hash
	add    func(key, value []byte) error
	block  []byte
	last   []byte
	rows   uint64
}

func errSnapshot(format string, args ...any) error {
	return fault.New(fault.Corrupt, format, args...).WithHint("throw away what was read and ask for the snapshot again")
}

func (s *snapshotReader) fill(b []byte) error {
	_, err := io.ReadFull(s.r, b)
	switch {
	case err == nil:
		return nil
	case errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF):
		return errSnapshot("the snapshot stream ends early, after %d rows", s.rows)
	default:
		return fmt.Errorf("read the snapshot stream: %w", err)
	}
}

func (s *snapshotReader) head() error {
	head := make([]byte, snapshotHeadSize)
	if err := s.fill(head); err != nil {
		return err
	}
	s.digest.Write(head)
	rest, ok := bytes.CutPrefix(head, []byte(snapshotMagic))
	if !ok {
		return errSnapshot("this is no snapshot stream: it begins with % x", head[:len(snapshotMagic)])
	}
	if rest[0] != snapshotFormat {
		return errUnsupported("the snapshot stream has format %d; this version knows %d", rest[0], snapshotFormat)
	}
	if level := binary.LittleEndian.Uint32(rest[1:]); level > FeatureLevel {
		return errUnsupported("the snapshot needs feature level %d; this version has %d", level, FeatureLevel)
	}
	return nil
}

// nextBlock reads one block; false is the empty one at the end.
func (s *snapshotReader) nextBlock() (bool, error) {
	var head [8]byte
	if err := s.fill(head[:]); err != nil {
		return false, err
	}
	s.digest.Write(head[:])
	size, sum := binary.LittleEndian.Uint32(head[:]), binary.LittleEndian.Uint32(head[4:])
	if size == 0 {
		return false, nil
	}
	if size > snapshotMaxBlock {
		return false, errSnapshot("a snapshot block of %d bytes is too large", size)
	}
	if uint32(cap(s.block)) < size {
		s.block = make([]byte, size)
	}
	s.block = s.block[:size]
	if err := s.fill(s.block); err != nil {
		return false, err
	}
	s.digest.Write(s.block)
	if got := Checksum(s.block); got != sum {
		return false, errSnapshot("a snapshot block has checksum %08x, not %08x", got, sum)
	}
	return true, s.addRows()
}

func (s *snapshotReader) addRows() error {
	for c := (cursor{b: s.block}); len(c.b) > 0; {
		key, value := c.bytes(), c.bytes()
		if c.bad {
			return errSnapshot("a snapshot block does not parse")
		}
		if s.rows > 0 && bytes.Compare(key, s.last) <= 0 {
			return errSnapshot("the rows of the snapshot are not in order")
		}
		s.last = append(s.last[:0], key...)
		s.rows++
		if err := s.add(key, value); err != nil {
			return err
		}
	}
	return nil
}

func (s *snapshotReader) tail() error {
	var rows [8]byte
	if err := s.fill(rows[:]); err != nil {
		return err
	}
	if n := binary.LittleEndian.Uint64(rows[:]); n != s.rows {
		return errSnapshot("the snapshot has %d rows, not %d", s.rows, n)
	}
	s.digest.Write(rows[:])
	want := s.digest.Sum(nil)
	got := make([]byte, len(want))
	if err := s.fill(got); err != nil {
		return err
	}
	if !bytes.Equal(got, want) {
		return errSnapshot("the digest of the snapshot is wrong")
	}
	return nil
}
