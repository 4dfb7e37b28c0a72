package damage

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/cespare/xxhash/v2"

	"supercluster/internal/chunks"
)

// Kind is what a file is for.
type Kind string

// The kinds of files of a data folder.
const (
	Identity     Kind = "identity"
	RaftLog      Kind = "raft-log"
	RaftIndex    Kind = "raft-index"
	RaftManifest Kind = "raft-manifest"
	RaftOther    Kind = "raft-other"
	Snapshot     Kind = "snapshot"
	StateWAL     Kind = "state-wal"
	StateTable   Kind = "state-table"
	StateList    Kind = "state-manifest"
	StateOther   Kind = "state-other"
)

// Change is what was done.
type Change struct {
	Kind Kind
	Path string
	At   int64
	From byte
	To   byte
}

// Evidence says it in words.
func (c Change) Evidence() string {
	return fmt.Sprintf("%s: byte %d of %s is %#02x, it was %#02x", c.Kind, c.At, filepath.Base(c.Path), c.To, c.From)
}

// kindOf says what a file is for, by its path within the data folder; "" for what holds nothing.
func kindOf(path string) Kind {
	name := filepath.Base(path)
	raft := strings.HasPrefix(path, "raft")
	switch {
	case name == "LOCK" || strings.HasPrefix(name, "marker."):
		return ""
	case path == "identity.json":
		return Identity
	case raft && strings.Contains(path, "snapshot"):
		return Snapshot
	case raft && strings.HasSuffix(name, ".log"):
		return RaftLog
	case raft && strings.HasSuffix(name, ".index"):
		return RaftIndex
	case raft && strings.HasPrefix(name, "MANIFEST"):
		return RaftManifest
	case raft:
		return RaftOther
	case strings.HasSuffix(name, ".log"):
		return StateWAL
	case strings.HasSuffix(name, ".sst"):
		return StateTable
	case strings.HasPrefix(name, "MANIFEST"):
		return StateList
	case strings.HasPrefix(path, "state"):
		return StateOther
	default:
		return ""
	}
}

// files lists what is not empty, by kind.
func files(dir string) (map[Kind][]string, error) {
	all := map[Kind][]string{}
	err := filepath.WalkDir(dir, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		info, err := entry.Info()
		if err != nil || info.Size() == 0 || !info.Mode().IsRegular() {
			return err
		}
		within, err := filepath.Rel(dir, path)
		if kind := kindOf(within); kind != "" {
			all[kind] = append(all[kind], path)
		}
		return err
	})
	return all, err
}

// Flip changes one byte of a data folder.
func Flip(dir string, random *rand.Rand) (Change, error) {
	all, err := files(dir)
	if err != nil {
		return Change{}, err
	}
	var kinds []Kind
	for kind := range all {
		kinds = append(kinds, kind)
	}
	if len(kinds) == 0 {
		return Change{}, fmt.Errorf("%s has no files of a server", dir)
	}
	slices.Sort(kinds)
	kind := kinds[random.IntN(len(kinds))]
	path := all[kind][random.IntN(len(all[kind]))]
	end, err := endOf(kind, path)
	if err != nil {
		return Change{}, err
	}
	c := Change{Kind: kind, Path: path, At: random.Int64N(max(end, 1))}
	return c, c.apply(byte(1 + random.IntN(255)))
}

func (c *Change) apply(change byte) error {
	file, err := os.OpenFile(c.Path, os.O_RDWR, 0)
	if err != nil {
		return err
	}
	b := make([]byte, 1)
	if _, err := file.ReadAt(b, c.At); err != nil {
		return errors.Join(err, file.Close())
	}
	c.From, c.To = b[0], b[0]^change
	_, err = file.WriteAt([]byte{c.To}, c.At)
	if err := errors.Join(err, file.Sync(), file.Close()); err != nil {
		return err
	}
	data, err := os.ReadFile(c.Path)
	if err == nil && data[c.At] != c.To {
		err = fmt.Errorf("byte %d of %s was not changed", c.At, c.Path)
	}
	return err
}

// Tear puts behind what is in the newest log of a kind what a write leaves that the power cut short: the beginning of a record
// that announces more than there is.
func Tear(dir string, kind Kind, random *rand.Rand) (Change, error) {
	all, err := files(dir)
	if err != nil {
		return Change{}, err
	}
	if len(all[kind]) == 0 {
		return Change{}, fmt.Errorf("%s has no %s", dir, kind)
	}
	path := slices.Max(all[kind])
	end, err := endOf(kind, path)
	if err != nil {
		return Change{}, err
	}
	torn := tornRecord(end, random)
	file, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		return Change{}, err
	}
	_, err = file.WriteAt(torn, end)
	if err := errors.Join(err, file.Close()); err != nil {
		return Change{}, err
	}
	data, err := os.ReadFile(path)
	if err == nil && !bytes.HasPrefix(data[min(end, int64(len(data))):], torn) {
		err = fmt.Errorf("%s has no torn record", path)
	}
	return Change{Kind: kind, Path: path, At: end, To: torn[0]}, err
}

// tornRecord is the beginning of a record at an offset: a header that announces 1,791 bytes, and some of them. No library
// announces more than its block has room for; where that is less, this is as much of a header as a disk may have got.
func tornRecord(at int64, random *rand.Rand) []byte {
	if chunks.BlockSize-at%chunks.BlockSize < 2048 {
		return make([]byte, 1)
	}
	payload := bytes.Repeat([]byte{byte(1 + random.IntN(255))}, 20+random.IntN(400))
	return append([]byte{1, 2, 3, byte(random.IntN(256)), 0xff, 0x06, 1}, payload...)
}

// endOf is where what is in a file ends: that of a Raft log has zeros behind it when its server was killed.
func endOf(kind Kind, path string) (int64, error) {
	data, err := os.ReadFile(path)
	if err != nil || kind != RaftLog {
		return int64(len(data)), err
	}
	scan := chunks.Scan{Sum: func(b []byte) uint32 { return uint32(xxhash.Sum64(b)) }}
	for block := range slices.Chunk(data, chunks.BlockSize) {
		switch scan.Block(block) {
		case chunks.End:
			return scan.Begin(), nil
		case chunks.Whole:
		default:
			return int64(len(data)), nil
		}
	}
	return int64(len(data)), nil
}

// Size is how many bytes are in the files of a kind.
func Size(dir string, kind Kind) (total int64, err error) {
	all, err := files(dir)
	for _, path := range all[kind] {
		end, endErr := endOf(kind, path)
		if endErr != nil {
			return 0, endErr
		}
		total += end
	}
	return total, err
}
