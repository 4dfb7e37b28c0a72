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
	info, err := os.Stat(path)
	if err != nil {
		return Change{}, err
	}
	c := Change{Kind: kind, Path: path, At: random.Int64N(info.Size())}
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

// Tear appends to the newest log of a kind what a write leaves that the power cut short: the beginning of a record that
// announces more than there is.
func Tear(dir string, kind Kind, random *rand.Rand) (Change, error) {
	all, err := files(dir)
	if err != nil {
		return Change{}, err
	}
	if len(all[kind]) == 0 {
		return Change{}, fmt.Errorf("%s has no %s", dir, kind)
	}
	path := slices.Max(all[kind])
	data, err := os.ReadFile(path)
	if err != nil {
		return Change{}, err
	}
	payload := bytes.Repeat([]byte{byte(1 + random.IntN(255))}, 20+random.IntN(400))
	torn := append([]byte{1, 2, 3, byte(random.IntN(256)), 0xff, 0x06, 1}, payload...) // 1,791 bytes are announced
	if err := os.WriteFile(path, append(data, torn...), 0o600); err != nil {
		return Change{}, err
	}
	info, err := os.Stat(path)
	if err == nil && info.Size() != int64(len(data)+len(torn)) {
		err = fmt.Errorf("%s did not grow", path)
	}
	return Change{Kind: kind, Path: path, At: int64(len(data)), To: torn[0]}, err
}

// Size is how many bytes the files of a kind have.
func Size(dir string, kind Kind) (total int64, err error) {
	all, err := files(dir)
	for _, path := range all[kind] {
		info, statErr := os.Stat(path)
		if statErr != nil {
			return 0, statErr
		}
		total += info.Size()
	}
	return total, err
}
