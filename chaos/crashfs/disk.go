package crashfs

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
)

// Disk is the disk of a node from one of its starts on.
type Disk struct {
	root string

	mu      sync.Mutex
	dark    bool
	turns   uint64             // changes until now
	folders map[string]*folder // those right below root that are known, by name; nil: not looked at yet
	failed  error              // of looking at them: Left gives it, for what is durable is not known then

	still   chan struct{} // closed when the disk goes on; nil: it does not stand still
	waiting int           // what has waited for that
	filled  bool          // no more than room is free
	room    uint64
}

// New makes a disk of a folder. Of what is in it, the folders with these names are known, from the first call of one of
// their file systems on; the rest is always as durable as it looks.
func New(root string, known ...string) *Disk {
	d := &Disk{root: filepath.Clean(root), folders: map[string]*folder{}}
	for _, name := range known {
		d.folders[name] = nil
	}
	return d
}

// Cut cuts the power of disks, of all at one instant: nothing that is synced after it is left.
func Cut(disks ...*Disk) {
	for _, d := range disks {
		d.mu.Lock()
	}
	for _, d := range disks {
		d.dark = true
		d.mu.Unlock()
	}
}

// Unsynced is how many bytes a power loss would take now, at most.
func (d *Disk) Unsynced() (n int64) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, f := range d.folders {
		if f != nil {
			n += f.unsynced()
		}
	}
	return n
}

// turn is the next place in the order of changes. d.mu is held.
func (d *Disk) turn() uint64 {
	d.turns++
	return d.turns
}

// change changes a folder. d.mu is held.
func (d *Disk) change(f *folder, to names) { f.note(change{d.turn(), to}) }

// place is a name in a folder that is known.
type place struct {
	in   *folder
	name string
}

func (p place) entry() entry { return p.in.live[p.name] }

// find gives the place of a path; false when it is in none of the known folders. d.mu is held.
func (d *Disk) find(path string) (place, bool) {
	rest, below := strings.CutPrefix(filepath.Clean(path), d.root+string(filepath.Separator))
	if d.dark || !below {
		return place{}, false
	}
	parts := strings.Split(rest, string(filepath.Separator))
	at := d.top(parts[0])
	if at == nil || len(parts) == 1 {
		return place{}, false
	}
	for _, part := range parts[1 : len(parts)-1] {
		next, ok := at.live[part].(*folder)
		if !ok {
			return place{}, false
		}
		at = next
	}
	return place{at, parts[len(parts)-1]}, true
}

// top gives a known folder, nil for another one and for one that is not there. It is looked at now, when it was not before:
// who starts the node may have changed it since New.
func (d *Disk) top(name string) *folder {
	at, known := d.folders[name]
	if !known || at != nil {
		return at
	}
	at, err := load(filepath.Join(d.root, name))
	switch {
	case err == nil:
		d.folders[name] = at
		return at
	case !errors.Is(err, fs.ErrNotExist):
		d.failed = err
	}
	return nil
}

// load reads a folder of the machine: all that is in it is durable.
func load(path string) (*folder, error) {
	all, err := os.ReadDir(path)
	if err != nil {
		return nil, err
	}
	f := newFolder()
	for _, e := range all {
		var has entry
		below := filepath.Join(path, e.Name())
		if e.IsDir() {
			has, err = load(below)
		} else {
			has, err = loadFile(below)
		}
		if err != nil {
			return nil, err
		}
		f.live[e.Name()], f.durable[e.Name()] = has, has
	}
	return f, nil
}

func loadFile(path string) (*file, error) {
	b, err := os.ReadFile(path)
	return &file{durable: b}, err
}

// folderAt gives the folder of a path, nil when it is not known. d.mu is held.
func (d *Disk) folderAt(path string) *folder {
	if name, ok := strings.CutPrefix(filepath.Clean(path), d.root+string(filepath.Separator)); ok && d.folders[name] != nil && !d.dark {
		return d.folders[name]
	}
	if p, ok := d.find(path); ok {
		f, _ := p.entry().(*folder)
		return f
	}
	return nil
}

// fileAt gives the file of a path, nil when it is not known. What was made past the file systems is known from now on.
func (d *Disk) fileAt(path string) (*file, error) {
	p, ok := d.find(path)
	if !ok {
		return nil, nil
	}
	if f, ok := p.entry().(*file); ok {
		return f, nil
	}
	f, err := loadFile(path)
	if err != nil {
		return nil, err
	}
	p.in.live[p.name], p.in.durable[p.name] = f, f
	return f, nil
}

// create makes a file: a new one, or with emptied the one that is there without its content.
func (d *Disk) create(path string, emptied bool, open func() (*os.File, error)) (*handle, error) {
	d.pass()
	d.mu.Lock()
	defer d.mu.Unlock()
	p, known := d.find(path)
	f, err := open()
	if err != nil || !known {
		return &handle{File: f, disk: d}, err
	}
	if old, ok := p.entry().(*file); ok && emptied {
		old.note(write{turn: d.turn(), cut: true})
		return &handle{File: f, disk: d, file: old}, nil
	}
	made := &file{}
	d.change(p.in, names{p.name: made})
	return &handle{File: f, disk: d, file: made}, nil
}

// open opens what is there: a folder to be synced, or a file to be written to.
func (d *Disk) open(path string, flags int) (*handle, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	f, err := os.OpenFile(path, flags, 0)
	if err != nil {
		return nil, err
	}
	h := &handle{File: f, disk: d, folder: d.folderAt(path)}
	if flags&os.O_RDWR != 0 {
		h.file, err = d.fileAt(path)
	}
	return h, err
}

// remove takes a name away, and all that is below it.
func (d *Disk) remove(path string, remove func() error) error {
	d.pass()
	d.mu.Lock()
	defer d.mu.Unlock()
	p, known := d.find(path)
	err := remove()
	if err == nil && known && p.entry() != nil {
		d.change(p.in, names{p.name: nil})
	}
	return err
}

// rename gives what has one name another one. Within a folder that is one change.
func (d *Disk) rename(from, to string) error {
	d.pass()
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.folderAt(from) == nil {
		if _, err := d.fileAt(from); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	old, known := d.find(from)
	if err := os.Rename(from, to); err != nil || !known {
		return err
	}
	next, ok := d.find(to)
	e := old.entry()
	if ok && next.in == old.in {
		d.change(old.in, names{old.name: nil, next.name: e})
		return nil
	}
	if ok {
		d.change(next.in, names{next.name: e})
	}
	d.change(old.in, names{old.name: nil})
	return nil
}

// link gives a file a second name.
func (d *Disk) link(from, to string) error {
	d.pass()
	d.mu.Lock()
	defer d.mu.Unlock()
	f, err := d.fileAt(from)
	if err != nil {
		return err
	}
	if err := os.Link(from, to); err != nil {
		return err
	}
	if p, ok := d.find(to); ok && f != nil {
		d.change(p.in, names{p.name: f})
	}
	return nil
}

// mkdirAll makes a folder and those above it.
func (d *Disk) mkdirAll(path string, perm os.FileMode) error {
	d.pass()
	d.mu.Lock()
	defer d.mu.Unlock()
	var made []string
	path = filepath.Clean(path)
	for at := path; len(at) > len(d.root); at = filepath.Dir(at) {
		if _, err := os.Stat(at); err == nil {
			break
		}
		made = append(made, at)
	}
	if err := os.MkdirAll(path, perm); err != nil {
		return err
	}
	for i := len(made) - 1; i >= 0; i-- { // from above
		d.made(made[i])
	}
	return nil
}

// made notes a new folder. Those right below root are durable at once: who starts the node makes sure of them.
func (d *Disk) made(path string) {
	name := filepath.Base(path)
	if f, known := d.folders[name]; known && f == nil && filepath.Dir(path) == d.root {
		d.folders[name] = newFolder()
		return
	}
	if p, ok := d.find(path); ok && p.entry() == nil {
		d.change(p.in, names{p.name: newFolder()})
	}
}
