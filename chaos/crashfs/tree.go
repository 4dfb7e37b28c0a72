package crashfs

import (
	"bytes"
	"maps"
	"slices"
)

// entry is a file or a folder.
type entry interface{ unsynced() int64 }

// file is the content of a file, under whatever names.
type file struct {
	durable []byte
	pending []write // since the last sync, in order
	synced  uint64  // writes that were synced: the number of the first of pending
}

// write is one change of a file: bytes at an offset, or the end of all that was in it.
type write struct {
	empty bool
	at    int64
	bytes []byte
}

func (f *file) note(w write) { f.pending = append(f.pending, w) }

// mark is the number of the next write.
func (f *file) mark() uint64 { return f.synced + uint64(len(f.pending)) }

// settle makes the writes before a mark durable.
func (f *file) settle(mark uint64) {
	for f.synced < mark {
		f.durable = f.pending[0].on(f.durable)
		f.pending = f.pending[1:]
		f.synced++
	}
}

// on makes the change of a content.
func (w write) on(b []byte) []byte {
	if w.empty {
		return nil
	}
	end := int(w.at) + len(w.bytes)
	if end > len(b) {
		b = append(b, make([]byte, end-len(b))...)
	}
	copy(b[w.at:], w.bytes)
	return b
}

func (f *file) unsynced() (n int64) {
	for i := range f.pending {
		n += int64(len(f.pending[i].bytes))
	}
	return n
}

// folder is what has which name.
type folder struct {
	live    map[string]entry
	durable map[string]entry
	pending []change
	synced  uint64
}

func newFolder() *folder { return &folder{live: map[string]entry{}, durable: map[string]entry{}} }

// change is one change of a folder: what its names are of from then on; nil is nothing. It is durable whole or not at all.
type change map[string]entry

func (c change) on(names map[string]entry) {
	for name, e := range c {
		if e == nil {
			delete(names, name)
		} else {
			names[name] = e
		}
	}
}

func (d *folder) note(c change) {
	c.on(d.live)
	d.pending = append(d.pending, c)
}

func (d *folder) mark() uint64 { return d.synced + uint64(len(d.pending)) }

func (d *folder) settle(mark uint64) {
	for d.synced < mark {
		d.pending[0].on(d.durable)
		d.pending = d.pending[1:]
		d.synced++
	}
}

// unsynced is what is not durable in the folder and in what it has, by its durable and its present names.
func (d *folder) unsynced() (n int64) {
	seen := map[entry]bool{}
	for _, names := range []map[string]entry{d.durable, d.live} {
		for _, e := range names {
			if !seen[e] {
				seen[e] = true
				n += e.unsynced()
			}
		}
	}
	return n
}

// names are those of a map, in order: what is kept of each is drawn in this order.
func names(m map[string]entry) []string { return slices.Sorted(maps.Keys(m)) }

// after is what a power loss leaves of a file: the durable content, and what keep chooses of the rest.
func (f *file) after(keep Keep, l *Losses) []byte {
	b := bytes.Clone(f.durable)
	whole := keep(len(f.pending))
	for i := range f.pending {
		w := f.pending[i]
		size := len(w.bytes)
		if i == whole {
			w.bytes = w.bytes[:keep(size)]
		}
		if i > whole {
			w.bytes = nil
		}
		l.Dropped += int64(size - len(w.bytes))
		l.Kept += int64(len(w.bytes))
		if i < whole || len(w.bytes) > 0 {
			b = w.on(b)
		}
	}
	return b
}

// after is what a power loss leaves of a folder.
func (d *folder) after(keep Keep, l *Losses) map[string]entry {
	left := maps.Clone(d.durable)
	whole := keep(len(d.pending))
	for _, c := range d.pending[:whole] {
		c.on(left)
	}
	l.Names += len(d.pending) - whole
	return left
}
