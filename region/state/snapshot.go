package state

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
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

// ReadSnapshot reads a snapshot stream and calls set for every row, in key order; what set gets is valid until it
// returns. After an error what was set is useless.
func ReadSnapshot(rd io.Reader, set func(key, value []byte) error) error {
	return record.ReadSnapshot(rd, set)
}

// Hash gives the hash of the logical state: equal on all replicas that applied the same entries, whether they applied
// them one by one or came from a snapshot. The applied index is left out.
func Hash(r Reader) (sum [32]byte, err error) {
	h := sha256.New()
	var lengths [8]byte
	var masked []byte
	err = scan(r, nil, replicated(), func(key, value []byte) error {
		if bytes.Equal(key, record.HeadKey()) {
			head, err := record.DecodeHead(value)
			if err != nil {
				return err
			}
			head.AppliedIndex = 0
			masked = record.AppendHead(masked[:0], &head)
			value = masked
		}
		binary.LittleEndian.PutUint32(lengths[:], uint32(len(key)))
		binary.LittleEndian.PutUint32(lengths[4:], uint32(len(value)))
		h.Write(lengths[:])
		h.Write(key)
		h.Write(value)
		return nil
	})
	h.Sum(sum[:0])
	return sum, err
}
