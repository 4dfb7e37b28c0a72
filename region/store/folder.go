package store

import (
	"fmt"
	"io"
	"regexp"
	"strings"

	"github.com/cockroachdb/pebble/v2/vfs"

	"supercluster/internal/fault"
)

// The folder of a store holds
//
//	FORMAT      what made it: its format and the shard and replica it belongs to; written once, first
//	CURRENT     the name of the database folder that counts; replaced by a rename
//	db-NNNNNN   Pebble databases: the one that CURRENT names, and what an interrupted recovery left
const (
	formatFile  = "FORMAT"
	currentFile = "CURRENT"
	formatText  = "supercluster state\nformat 1\nshard %d\nreplica %d\n"
)

var currentPattern = regexp.MustCompile(`^db-([0-9]{6,18})( new)?\n$`)

// folder is the state folder on a file system.
type folder struct {
	fs      vfs.FS
	dir     string
	shard   uint64
	replica uint64
	// step is called before each durable change; tests make it fail to stop in between.
	step func(name string) error
}

// current is the content of CURRENT. With created false the database was never opened: its folder may be missing.
type current struct {
	number  uint64
	created bool
}

func (c current) name() string { return databaseName(c.number) }

func databaseName(number uint64) string { return fmt.Sprintf("db-%06d", number) }

// prepare makes the folder on its first use, checks that it is ours, and gives what CURRENT says.
func (f *folder) prepare() (current, error) {
	if err := f.makeDir(); err != nil {
		return current{}, err
	}
	names, err := f.fs.List(f.dir)
	if err != nil {
		return current{}, diskFault(err, "the state folder %s can not be listed", f.dir)
	}
	format, found, err := f.read(formatFile)
	if err != nil {
		return current{}, err
	}
	if !found {
		if foreign := notOurs(names); foreign != "" {
			return current{}, fault.New(fault.Invalid, "the folder %s has no %s file but contains %s: it is not a state folder", f.dir, formatFile, foreign).
				WithHint("give the server another data directory, or move the content away")
		}
		if err := f.write(formatFile, fmt.Sprintf(formatText, f.shard, f.replica)); err != nil {
			return current{}, err
		}
	} else if err := f.check(format); err != nil {
		return current{}, err
	}
	return f.readCurrent(names)
}

func (f *folder) makeDir() error {
	if _, err := f.fs.Stat(f.dir); err == nil {
		return nil
	}
	if err := f.fs.MkdirAll(f.dir, 0o700); err != nil {
		return diskFault(err, "the state folder %s can not be made", f.dir)
	}
	return f.syncDir(f.fs.PathDir(f.dir))
}

// notOurs names a file of a folder without FORMAT that is not the rest of an interrupted first start.
func notOurs(names []string) string {
	for _, name := range names {
		if name != formatFile+".tmp" {
			return name
		}
	}
	return ""
}

// check compares the content of FORMAT with who we are.
func (f *folder) check(content string) error {
	var shard, replica, format uint64
	const pattern = "supercluster state\nformat %d\nshard %d\nreplica %d\n"
	if n, err := fmt.Sscanf(content, pattern, &format, &shard, &replica); n == 0 || !strings.HasPrefix(content, "supercluster state\n") {
		return fault.Wrap(fault.Corrupt, err, "the file %s of %s is damaged", formatFile, f.dir).
			WithHint(replaceHint)
	}
	switch {
	case format != 1:
		return fault.New(fault.Unsupported, "the state folder %s has format %d, this version knows format 1", f.dir, format).
			WithHint("start the version that wrote it")
	case content != fmt.Sprintf(formatText, shard, replica):
		return fault.New(fault.Corrupt, "the file %s of %s is damaged", formatFile, f.dir).
			WithHint(replaceHint)
	case shard != f.shard || replica != f.replica:
		return fault.New(fault.Conflict, "the state folder %s belongs to shard %d, replica %d; this node is shard %d, replica %d",
			f.dir, shard, replica, f.shard, f.replica).
			WithHint("each node needs its own data directory: check the node's name and data-dir")
	}
	return nil
}

// readCurrent reads CURRENT, and writes the first one when the first start stopped before it.
func (f *folder) readCurrent(names []string) (current, error) {
	content, found, err := f.read(currentFile)
	if err != nil {
		return current{}, err
	}
	if !found {
		for _, name := range names {
			if strings.HasPrefix(name, "db-") {
				return current{}, fault.New(fault.Corrupt, "the state folder %s has lost its file %s", f.dir, currentFile).
					WithHint(replaceHint)
			}
		}
		first := current{number: 1}
		return first, f.switchTo(first)
	}
	match := currentPattern.FindStringSubmatch(content)
	if match == nil {
		return current{}, fault.New(fault.Corrupt, "the file %s of %s is damaged", currentFile, f.dir).
			WithHint(replaceHint)
	}
	c := current{created: match[2] == ""}
	_, err = fmt.Sscanf(match[1], "%d", &c.number)
	return c, err
}

// switchTo makes CURRENT name a database.
func (f *folder) switchTo(c current) error {
	content := c.name()
	if !c.created {
		content += " new"
	}
	return f.write(currentFile, content+"\n")
}

// clean removes the databases that CURRENT does not name.
func (f *folder) clean(keep current) error {
	names, err := f.fs.List(f.dir)
	if err != nil {
		return diskFault(err, "the state folder %s can not be listed", f.dir)
	}
	for _, name := range names {
		if !strings.HasPrefix(name, "db-") || name == keep.name() {
			continue
		}
		if err := f.fs.RemoveAll(f.path(name)); err != nil {
			return diskFault(err, "the unused database %s can not be removed", f.path(name))
		}
	}
	return nil
}

func (f *folder) path(name string) string { return f.fs.PathJoin(f.dir, name) }

// read gives a whole small file, and false when there is none.
func (f *folder) read(name string) (string, bool, error) {
	if _, err := f.fs.Stat(f.path(name)); isNotExist(err) {
		return "", false, nil
	}
	file, err := f.fs.Open(f.path(name))
	if err != nil {
		return "", false, diskFault(err, "the file %s can not be opened", f.path(name))
	}
	defer file.Close()
	content, err := io.ReadAll(io.LimitReader(file, 4096))
	if err != nil {
		return "", false, diskFault(err, "the file %s can not be read", f.path(name))
	}
	return string(content), true, nil
}

// write replaces a file so that a crash leaves the old content or the new one.
func (f *folder) write(name, content string) error {
	temporary := f.path(name + ".tmp")
	for _, act := range []struct {
		step string
		do   func() error
	}{
		{"write", func() error { return f.writeSynced(temporary, content) }},
		{"rename", func() error { return f.fs.Rename(temporary, f.path(name)) }},
		{"sync", func() error { return f.syncDir(f.dir) }},
	} {
		if err := f.step(name + " " + act.step); err != nil {
			return err
		}
		if err := act.do(); err != nil {
			return diskFault(err, "the file %s can not be written", f.path(name))
		}
	}
	return nil
}

func (f *folder) writeSynced(path, content string) error {
	file, err := f.fs.Create(path, vfs.WriteCategoryUnspecified)
	if err != nil {
		return err
	}
	if _, err := io.WriteString(file, content); err != nil {
		return closeAfter(file, err)
	}
	return closeAfter(file, file.Sync())
}

func (f *folder) syncDir(path string) error {
	dir, err := f.fs.OpenDir(path)
	if err != nil {
		return diskFault(err, "the folder %s can not be opened", path)
	}
	if err := closeAfter(dir, dir.Sync()); err != nil {
		return diskFault(err, "the folder %s can not be synced", path)
	}
	return nil
}

// closeAfter closes c and gives the first of the two errors.
func closeAfter(c io.Closer, err error) error {
	if closeErr := c.Close(); err == nil {
		err = closeErr
	}
	return err
}
