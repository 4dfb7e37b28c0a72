package crashfs

// Stall lets nothing be written, synced, made, named or removed any more; what only reads goes on. What comes meanwhile waits for
// release, and goes on then. waited says how much came so far.
func (d *Disk) Stall() (release func(), waited func() int) {
	still := make(chan struct{})
	d.mu.Lock()
	defer d.mu.Unlock()
	d.still, d.waiting = still, 0
	release = func() {
		d.mu.Lock()
		defer d.mu.Unlock()
		if d.still == still {
			d.still = nil
			close(still)
		}
	}
	waited = func() int {
		d.mu.Lock()
		defer d.mu.Unlock()
		return d.waiting
	}
	return release, waited
}

// pass waits while the disk stands still.
func (d *Disk) pass() {
	d.mu.Lock()
	still := d.still
	if still != nil {
		d.waiting++
	}
	d.mu.Unlock()
	if still != nil {
		<-still
	}
}

// Fill leaves so many bytes of room, as the disk says when it is asked, until Empty. What is written all the same finds room: who
// uses the disk must refuse to grow before it has none.
func (d *Disk) Fill(leave uint64) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.room, d.filled = leave, true
}

// Empty gives the room back.
func (d *Disk) Empty() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.filled = false
}

// free is what the disk says of so many bytes that are free.
func (d *Disk) free(bytes uint64) uint64 {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.filled {
		return min(bytes, d.room)
	}
	return bytes
}
