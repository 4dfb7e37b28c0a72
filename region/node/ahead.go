package node

import (
	"errors"
	"io"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/lni/vfs"
)

const (
	// zeroStep is how much is zeroed at once; the next step begins when half of one is left. What a step wrote goes to the disk
	// with the sync that comes next, which then takes some milliseconds: so a step is not larger.
	zeroStep = 1 << 20
	// reserved is the room that a log has from its beginning: as large as Tan lets it grow, and a block for its last record.
	reserved = 64<<20 + 32<<10
)

var zeros [zeroStep]byte

// aheadFS is the file system of the Raft log. The log that is written to has zeros behind what is in it, which are there
// before a write needs the place. To sync a write to such a file is to write its blocks. A file that grows has a new size as
// well, and that is in the journal of the file system: a second write, made by a thread of the kernel that all files of a
// disk share, and up to half of what a sync costs (ADR 0015).
//
// Who opens a log here sees no zeros: it ends where the last record ended. It is cut there when it is closed; after a crash
// checkLog does that. Files that can not be cut are left as they are.
//
// It may be used concurrently; each log has one writer.
type aheadFS struct {
	vfs.FS
	mu      sync.Mutex
	written map[string]*aheadFile // logs that are written to, by name
}

func newAheadFS(fs vfs.FS) *aheadFS { return &aheadFS{FS: fs, written: map[string]*aheadFile{}} }

// cutter is a file that can be cut.
type cutter interface {
	vfs.File
	Truncate(size int64) error
}

// Create makes a log that is zeroed ahead, or any other file as it is.
func (a *aheadFS) Create(name string) (vfs.File, error) {
	file, err := a.FS.Create(name)
	if err != nil || !strings.HasSuffix(name, ".log") {
		return file, err
	}
	cut, ok := file.(cutter)
	if !ok {
		return file, nil
	}
	reserve(file, reserved)
	f := &aheadFile{cutter: cut, close: func() { a.forget(name) }}
	a.mu.Lock()
	defer a.mu.Unlock()
	a.written[name] = f
	return f, nil
}

func (a *aheadFS) forget(name string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	delete(a.written, name)
}

// find gives a log that is written to, or nil.
func (a *aheadFS) find(name string) *aheadFile {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.written[name]
}

// Open opens a file to be read, a log that is written to up to its last record.
func (a *aheadFS) Open(name string, options ...vfs.OpenOption) (vfs.File, error) {
	f := a.find(name)
	file, err := a.FS.Open(name, options...)
	if err != nil || f == nil {
		return file, err
	}
	return aheadReader{File: file, part: io.NewSectionReader(file, 0, f.shown.Load())}, nil
}

// Rename gives a file another name. When it becomes the index of a log, it says where each record of that is: the log is durable
// first.
func (a *aheadFS) Rename(from, to string) error {
	if log, ok := strings.CutSuffix(to, ".index"); ok {
		if f := a.find(log + ".log"); f != nil {
			if err := f.Sync(); err != nil {
				return err
			}
		}
	}
	return a.FS.Rename(from, to)
}

// aheadFile is a log that is written to. Sync may be called beside the rest, which Tan does in turn.
type aheadFile struct {
	cutter
	close func()

	end    int64         // of what was written
	shown  atomic.Int64  // end of the last record
	zeroed int64         // end of the last step
	step   chan struct{} // closed when the last step is over; nil before the first
	failed atomic.Bool   // a step did: no further one
}

// Write appends.
func (f *aheadFile) Write(p []byte) (int, error) {
	if f.step != nil && f.end+int64(len(p)) > f.zeroed-zeroStep {
		<-f.step // never into a step that goes on
	}
	n, err := f.WriteAt(p, f.end)
	f.end += int64(n)
	if err != nil {
		return n, err
	}
	if endsRecord(p) {
		f.shown.Store(f.end)
	}
	f.extend()
	return n, nil
}

// endsRecord reports whether a record ends with what was written. Tan writes each chunk by itself: its checksum and length in six
// bytes, then its type.
func endsRecord(p []byte) bool {
	const whole, last = 1, 4
	return len(p) > 6 && (p[6] == whole || p[6] == last)
}

// extend begins the next step when it is time.
func (f *aheadFile) extend() {
	if f.zeroed-f.end > zeroStep/2 || f.failed.Load() {
		return
	}
	from, over := max(f.zeroed, f.end), make(chan struct{})
	f.zeroed, f.step = from+zeroStep, over
	go func() {
		defer close(over)
		if _, err := f.WriteAt(zeros[:], from); err != nil {
			f.failed.Store(true) // if it matters, the write that needs the place fails too, and says why
		}
	}()
}

// Sync makes durable what was written.
func (f *aheadFile) Sync() error { return syncData(f.cutter) }

// Close cuts off the zeros.
func (f *aheadFile) Close() error {
	if f.step != nil {
		<-f.step
	}
	err := f.Truncate(f.end)
	f.close() // who opens it from now on sees what is there
	return errors.Join(err, f.cutter.Close())
}

// aheadReader reads a log up to the last record that was in it when it was opened.
type aheadReader struct {
	vfs.File
	part *io.SectionReader
}

func (r aheadReader) Read(p []byte) (int, error) { return r.part.Read(p) }

func (r aheadReader) ReadAt(p []byte, at int64) (int, error) { return r.part.ReadAt(p, at) }

func (r aheadReader) Seek(offset int64, whence int) (int64, error) {
	return r.part.Seek(offset, whence)
}
