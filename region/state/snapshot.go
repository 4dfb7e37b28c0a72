package state

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"hash"
	"io"

	"supercluster/region/record"
)

// replicated is the end of the rows that all replicas have alike.
func replicated() []byte { return []byte{record.SpaceLocal} }

// WriteSnapshot writes all rows as a snapshot stream, but the node's own.
func WriteSnapshot(w io.Writer, r Reader) error {
	head, err := readHead(r)
	if err != nil {
		return err
	}
	s := record.NewSnapshotWriter(w, head.Level)
	if err := scan(r, nil, replicated(), s.Add); err != nil {
		return err
	}
	return s.Close()
}

// WriteHashed is WriteSnapshot that also gives the number of rows and the hash of the state, in one scan.
func WriteHashed(w io.Writer, r Reader) (rows uint64, sum [32]byte, err error) {
	head, err := readHead(r)
	if err != nil {
		return 0, sum, err
	}
	s, h := record.NewSnapshotWriter(w, head.Level), NewHasher()
	if err := scan(r, nil, replicated(), func(key, value []byte) error {
		rows++
		if err := h.Add(key, value); err != nil {
			return err
		}
		return s.Add(key, value)
	}); err != nil {
		return 0, sum, err
	}
	return rows, h.Sum(), s.Close()
}

// ReadSnapshot reads a snapshot stream and calls set for every row, in key order; what set gets is valid until it
// returns. After an error what was set is useless.
func ReadSnapshot(rd io.Reader, set func(key, value []byte) error) error {
	return record.ReadSnapshot(rd, set)
}

// Hash gives the hash of the logical state: equal on all replicas that applied the same entries, whether they applied
// them one by one or came from a snapshot. The applied index is left out.
func Hash(r Reader) (sum [32]byte, err error) {
	h := NewHasher()
	err = scan(r, nil, replicated(), h.Add)
	return h.Sum(), err
}

// Hasher makes the hash of a state whose rows come one by one.
type Hasher struct {
	h      hash.Hash
	masked []byte
}

// NewHasher begins a hash.
func NewHasher() *Hasher { return &Hasher{h: sha256.New()} }

// Add takes the next row, in key order.
func (h *Hasher) Add(key, value []byte) error {
	if bytes.Equal(key, record.HeadKey()) {
		head, err := record.DecodeHead(value)
		if err != nil {
			return err
		}
		head.AppliedIndex = 0
		h.masked = record.AppendHead(h.masked[:0], &head)
		value = h.masked
	}
	var lengths [8]byte
	binary.LittleEndian.PutUint32(lengths[:], uint32(len(key)))
	binary.LittleEndian.PutUint32(lengths[4:], uint32(len(value)))
	h.h.Write(lengths[:])
	h.h.Write(key)
	h.h.Write(value)
	return nil
}

// Sum gives the hash of the rows so far.
func (h *Hasher) Sum() (sum [32]byte) {
	h.h.Sum(sum[:0])
	return sum
}
