package backup

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"time"

	"supercluster/internal/fault"
)

// A backup is
//
//	header   "SCBACKUP", format u8, length u32, that many bytes of JSON, CRC32C u32 of all before
//	block*   length u32, CRC32C u32 of length and frame, one zstd frame of at most 256 KiB of the snapshot stream
//	end      length 0 u32, its CRC32C u32
//	trailer  rows u64, bytes of the snapshot stream u64, state hash 32, CRC32C u32 of the trailer before
//	digest   SHA-256 of all before
//
// Numbers are little-endian.
const (
	magic  = "SCBACKUP"
	format = 1

	blockBytes  = 256 << 10
	maxFrame    = blockBytes + 64<<10 // what does not compress grows by little
	maxHeader   = 64 << 10
	trailerSize = 8 + 8 + 32 + 4
	digestSize  = 32
)

// Suffix ends the names of backups.
const Suffix = ".scbackup"

// Header says what a backup is of.
type Header struct {
	Region   string `json:"region"`
	RegionID string `json:"region_id"`
	// Federated: the region exchanges with others, so that a restore needs the key files of its identity.
	Federated   bool   `json:"federated"`
	Incarnation uint64 `json:"incarnation"`
	// The revisions of the two shards, and what history is kept of the data.
	SystemRevision    uint64 `json:"system_revision"`
	Revision          uint64 `json:"revision"`
	CompactedRevision uint64 `json:"compacted_revision"`
	AppliedIndex      uint64 `json:"applied_index"`
	FeatureLevel      uint32 `json:"feature_level"`
	// Replica is the highest replica id that the region ever used, as far as the state knows.
	Replica uint64 `json:"highest_replica"`
	// Time and Node tell people when and where it was made, Version by what.
	Time    time.Time `json:"time"`
	Node    string    `json:"node"`
	Version string    `json:"version"`
}

// Trailer is what is known only at the end.
type Trailer struct {
	Rows  uint64
	Bytes uint64 // of the snapshot stream, before compression
	Hash  [32]byte
}

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

func damaged(form string, args ...any) error {
	return fault.New(fault.Corrupt, form, args...).WithHint("this file cannot be restored: use another backup")
}

// appendHeader appends a header.
func appendHeader(dst []byte, h *Header) ([]byte, error) {
	text, err := json.Marshal(h)
	if err != nil {
		return nil, fault.Wrap(fault.Internal, err, "the header of a backup cannot be encoded")
	}
	if len(text) > maxHeader {
		return nil, fault.New(fault.TooLarge, "the header of the backup has %d bytes, the limit is %d", len(text), maxHeader)
	}
	dst = append(append(dst, magic...), format)
	dst = binary.LittleEndian.AppendUint32(dst, uint32(len(text)))
	dst = append(dst, text...)
	return binary.LittleEndian.AppendUint32(dst, crc32.Checksum(dst, castagnoli)), nil
}

// ReadHeader reads the header of a backup.
func ReadHeader(r io.Reader) (Header, error) {
	var h Header
	front := make([]byte, len(magic)+1+4)
	err := fill(r, front, "header")
	if !bytes.HasPrefix(front, []byte(magic)) && (err == nil || fault.Is(err, fault.Corrupt)) {
		return h, fault.New(fault.Invalid, "this is no backup: it begins with % x", front[:len(magic)]).
			WithHint("name a file that `supercluster backup create` wrote")
	}
	if err != nil {
		return h, err
	}
	if f := front[len(magic)]; f != format {
		return h, fault.New(fault.Unsupported, "the backup has format %d, this version knows %d", f, format).
			WithHint("if it was made by a newer version, use that one; if not, the file is damaged")
	}
	size := binary.LittleEndian.Uint32(front[len(magic)+1:])
	if size > maxHeader {
		return h, damaged("the header of the backup is damaged: it says that it has %d bytes", size)
	}
	rest := make([]byte, size+4)
	if err := fill(r, rest, "header"); err != nil {
		return h, err
	}
	text := rest[:size]
	if sum := crc32.Update(crc32.Checksum(front, castagnoli), castagnoli, text); sum != binary.LittleEndian.Uint32(rest[size:]) {
		return h, damaged("the header of the backup is damaged")
	}
	if err := json.Unmarshal(text, &h); err != nil {
		return h, damaged("the header of the backup does not parse: %v", err)
	}
	_, err = h.ID()
	return h, err
}

// ID gives the id of the region.
func (h *Header) ID() (id [16]byte, err error) {
	raw, err := hex.DecodeString(h.RegionID)
	if err != nil || len(raw) != len(id) {
		return id, damaged("the backup names no region: %q", h.RegionID)
	}
	copy(id[:], raw)
	return id, nil
}

// ReadTrailer reads the trailer at the end of a backup of a size, without the blocks before it.
func ReadTrailer(r io.ReaderAt, size int64) (Trailer, error) {
	if size < trailerSize+digestSize {
		return Trailer{}, damaged("the backup ends early")
	}
	b := make([]byte, trailerSize)
	if _, err := r.ReadAt(b, size-trailerSize-digestSize); err != nil {
		return Trailer{}, fmt.Errorf("read the end of the backup: %w", err)
	}
	return decodeTrailer(b)
}

func appendTrailer(dst []byte, t *Trailer) []byte {
	begin := len(dst)
	dst = binary.LittleEndian.AppendUint64(dst, t.Rows)
	dst = binary.LittleEndian.AppendUint64(dst, t.Bytes)
	dst = append(dst, t.Hash[:]...)
	return binary.LittleEndian.AppendUint32(dst, crc32.Checksum(dst[begin:], castagnoli))
}

func decodeTrailer(b []byte) (t Trailer, err error) {
	if crc32.Checksum(b[:trailerSize-4], castagnoli) != binary.LittleEndian.Uint32(b[trailerSize-4:]) {
		return t, damaged("the backup has no whole end: it is cut off or damaged")
	}
	t.Rows, t.Bytes = binary.LittleEndian.Uint64(b), binary.LittleEndian.Uint64(b[8:])
	copy(t.Hash[:], b[16:])
	return t, nil
}

// fill reads all of b.
func fill(r io.Reader, b []byte, part string) error {
	_, err := io.ReadFull(r, b)
	switch {
	case err == nil:
		return nil
	case errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF):
		return damaged("the backup ends early, in its %s", part)
	default:
		return fmt.Errorf("read the backup: %w", err)
	}
}
