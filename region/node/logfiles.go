package node

import (
	"bytes"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"

	"github.com/cespare/xxhash/v2"

	"supercluster/internal/chunks"
	"supercluster/internal/fault"
	"supercluster/region/record"
)

// replaceHint is what to do with a replica that lost what it had promised.
const replaceHint = record.ReplaceHint

// checkLog looks at every file of the Raft log before Tan does. Tan takes the first record that it can not read as the
// end of its log, or of the list of its files, and removes what is not on the list: a changed byte would make this
// node forget votes and entries that it had acknowledged. What a power loss cut short is cut off here.
func checkLog(dir string) error {
	if err := checkHost(dir); err != nil {
		return folderFault(dir, err)
	}
	var logs []string
	err := filepath.WalkDir(dir, func(path string, entry fs.DirEntry, err error) error {
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		if err != nil || entry.IsDir() || !strings.Contains(filepath.Dir(path), "tandb") {
			return err
		}
		switch name := entry.Name(); {
		case strings.HasSuffix(name, ".log"):
			logs = append(logs, path)
		case name == "CURRENT", strings.HasSuffix(name, ".index"), strings.HasPrefix(name, "BOOTSTRAP-") && !strings.HasSuffix(name, ".tmp"):
			return checkWhole(path, false, true)
		case strings.HasPrefix(name, "MANIFEST-"):
			return checkWhole(path, true, inForce(path))
		}
		return nil
	})
	if err != nil {
		return folderFault(dir, err)
	}
	for _, path := range logs {
		_, err := os.Stat(strings.TrimSuffix(path, ".log") + ".index")
		if err = checkRecords(path, errors.Is(err, fs.ErrNotExist)); err == nil {
			err = giveBack(path)
		}
		if err != nil {
			return folderFault(dir, err)
		}
	}
	return nil
}

// checkHost looks at what Dragonboat notes of its host beside the log. It ends without a cause when there is nothing in it.
func checkHost(dir string) error {
	for _, name := range []string{"NODEHOST.ID", hostFlag} {
		info, err := os.Stat(filepath.Join(dir, name))
		if err == nil && info.Size() == 0 {
			return emptyFault(filepath.Join(dir, name))
		}
	}
	return nil
}

// checkWhole refuses a file that changed, and one with nothing in it where there must be something: what it must say was synced
// before the file had its name.
func checkWhole(path string, mayBeTorn, says bool) error {
	_, end, err := checkLogFile(path, mayBeTorn)
	if err == nil && says && end == 0 {
		err = emptyFault(path)
	}
	return err
}

func emptyFault(path string) error {
	return fault.New(fault.Corrupt, "%s of the Raft log is empty: what was in it is lost, or never came to the disk", path).WithHint(replaceHint)
}

// inForce reports whether a list of files is the one that Tan goes by.
func inForce(manifest string) bool {
	current, err := os.ReadFile(filepath.Join(filepath.Dir(manifest), "CURRENT"))
	return err == nil && strings.Contains(string(current), filepath.Base(manifest)+"\n")
}

// emptied names the logs that were closed and have nothing in them. One that nothing was written to is such a log, too: they are
// named only when the log does not read.
func emptied(dir string) string {
	names := ""
	_ = filepath.WalkDir(dir, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() || !strings.HasSuffix(path, ".log") {
			return nil // what can not be looked at is told by others
		}
		_, closed := os.Stat(strings.TrimSuffix(path, ".log") + ".index")
		if info, err := entry.Info(); err == nil && info.Size() == 0 && closed == nil {
			names += "; " + path + " is empty"
		}
		return nil
	})
	return names
}

// checkRecords refuses a log that changed, and cuts off the zeros that were written ahead: in a log that has its index Tan does not
// take them for the end.
func checkRecords(path string, open bool) error {
	state, end, err := checkLogFile(path, open)
	if err != nil || state != chunks.End {
		return err
	}
	if !open { // closed, but not cut yet
		at, err := firstByte(path, end)
		if err != nil {
			return err
		}
		if at >= 0 {
			return damaged(path, at)
		}
	}
	return cutFile(path, end)
}

// checkLogFile refuses a file that changed, and says how the rest ends and where its records do. The end of a file that was open
// when the power went may be torn: it is cut off.
func checkLogFile(path string, mayBeTorn bool) (state chunks.State, end int64, err error) {
	state, scan, err := scanFile(path)
	switch {
	case err != nil:
		return state, 0, err
	case state == chunks.Torn && mayBeTorn:
		return state, scan.Begin(), cutFile(path, scan.Begin())
	case state == chunks.Torn || state == chunks.Damaged:
		return state, 0, damaged(path, scan.At())
	}
	return state, scan.Begin(), nil
}

func damaged(path string, at int64) error {
	return fault.New(fault.Corrupt, "%s of the Raft log is damaged at byte %d", path, at).WithHint(replaceHint)
}

// firstByte finds the first byte of a file that is not zero, from some place on; -1 if there is none.
func firstByte(path string, from int64) (int64, error) {
	file, err := os.Open(path)
	if err != nil {
		return -1, err
	}
	defer file.Close()
	block := make([]byte, chunks.BlockSize)
	for at := from; ; {
		n, err := file.ReadAt(block, at)
		if i := bytes.IndexFunc(block[:n], func(r rune) bool { return r != 0 }); i >= 0 {
			return at + int64(i), nil
		}
		at += int64(n)
		switch {
		case errors.Is(err, io.EOF):
			return -1, nil
		case err != nil:
			return -1, err
		}
	}
}

func scanFile(path string) (chunks.State, *chunks.Scan, error) {
	scan := &chunks.Scan{Sum: func(b []byte) uint32 { return uint32(xxhash.Sum64(b)) }}
	file, err := os.Open(path)
	if err != nil {
		return 0, nil, err
	}
	defer file.Close()
	block := make([]byte, chunks.BlockSize)
	for {
		n, err := io.ReadFull(file, block)
		if n > 0 {
			if state := scan.Block(block[:n]); state != chunks.Whole {
				return state, scan, nil
			}
		}
		switch {
		case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
			return scan.Close(), scan, nil
		case err != nil:
			return 0, nil, err
		}
	}
}

// cutFile removes the torn end of a file, durably.
func cutFile(path string, size int64) error {
	file, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		return err
	}
	return errors.Join(file.Truncate(size), file.Sync(), file.Close())
}

// giveBack frees what Tan reserved behind the end of a log that it will never write to again: 64 MiB for each start, until
// a snapshot lets the log go, fill a small disk.
func giveBack(path string) error {
	info, err := os.Stat(path)
	if err != nil {
		return err
	}
	if stat, ok := info.Sys().(*syscall.Stat_t); ok && stat.Blocks*512 <= info.Size()+chunks.BlockSize {
		return nil
	}
	return os.Truncate(path, info.Size())
}

// syncLog makes a closed log durable: Tan leaves the newest commit index unsynced, but its index names the place of it.
func syncLog(dir string) error {
	return filepath.WalkDir(dir, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() || !strings.HasSuffix(path, ".log") {
			return err
		}
		file, err := os.OpenFile(path, os.O_RDWR, 0)
		if err != nil {
			return err
		}
		return errors.Join(file.Sync(), file.Close())
	})
}
