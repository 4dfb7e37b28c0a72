package crashfs

import (
	"bytes"
	"maps"
)

// entry is a file or a folder.
type entry interface{ unsynced() int64 }

// file is the content of a file, under whatever names.
type file struct {
	durable []byte
	pending []write // since the last sync, in order
	synced  uint64  // writes that were synced: the number of the first of pending
}

// write is one change of a file: bytes at an offset, or the end of all that was behind it.
type write struct {
	turn  uint64 // its place in the order of all changes of the disk
	cut   bool
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
	if w.cut {
		return b[:min(int(w.at), len(b))]
	}
	end := int(w.at) + len(w.bytes)
	if end > len(b) {
		b = append(b, make([]byte, end-len(b))...)
	}
	copy(b[w.at:], w.bytes)
	return b
}

// sectors gives how much of a torn write over what was there is left: a disk writes sectors, each whole or not at all.
func (w write) sectors(left int) int {
	const sector = 512
	return max(left-int(w.at+int64(left))%sector, 0)
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

// names are what some names of a folder are of; nil is nothing.
type names map[string]entry

// change is one change of a folder. It is durable whole or not at all.
type change struct {
	turn uint64
	to   names
}

func (c change) on(names map[string]entry) {
	for name, e := range c.to {
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

// pieces are the changes that are not durable, of the folder and of what it has.
func (d *folder) pieces(seen map[entry]bool) (all []piece) {
	all = piecesOf(d.pending)
	for _, names := range []map[string]entry{d.durable, d.live} {
		for _, e := range names {
			if seen[e] {
				continue
			}
			seen[e] = true
			switch e := e.(type) {
			case *folder:
				all = append(all, e.pieces(seen)...)
			case *file:
				all = append(all, piecesOf(e.pending)...)
			}
		}
	}
	return all
}

// after is what a power loss leaves of a file.
func (f *file) after(c *choice, l *Losses) []byte {
	b := bytes.Clone(f.durable)
	whole, torn := c.of(piecesOf(f.pending))
	for i := range f.pending {
		w, left := f.pending[i], 0
		switch {
		case i < whole:
			left = len(w.bytes)
		case i == whole:
			left = torn
		}
		if left < len(w.bytes) && int64(len(b)) > w.at+int64(left) {
			left = w.sectors(left)
		}
		l.Dropped += int64(len(w.bytes) - left)
		l.Kept += int64(left)
		if w.bytes = w.bytes[:left]; i < whole || left > 0 {
			b = w.on(b)
		}
	}
	return b
}

// after is what a power loss leaves of a folder.
func (d *folder) after(c *choice, l *Losses) map[string]entry {
	left := maps.Clone(d.durable)
	whole, _ := c.of(piecesOf(d.pending))
	for _, change := range d.pending[:whole] {
		change.on(left)
	}
	l.Names += len(d.pending) - whole
	return left
}
