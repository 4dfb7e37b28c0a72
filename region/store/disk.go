package store

// DiskState says whether the disk has room for what the state may need.
type DiskState struct {
	Total uint64
	Free  uint64
	// State is what the state takes now; Reserve is what should stay free: a recovery from a snapshot needs the
	// received file and the new database beside the old one, so three times the state at its peak.
	State   uint64
	Reserve uint64
	// Low: raise the alarm. Enough: clear it. Between them, leave it as it is.
	Low    bool
	Enough bool
}

// DiskState looks at the disk that holds the state. It asks the file system, so it is for once a second, not more.
func (s *Store) DiskState() (DiskState, error) {
	v, err := s.acquire()
	if err != nil {
		return DiskState{}, err
	}
	defer v.release()
	usage, err := s.folder.fs.GetDiskUsage(s.folder.dir)
	if err != nil {
		return DiskState{}, diskFault(err, "the disk of %s can not be looked at", s.folder.dir)
	}
	return judgeDisk(usage.TotalBytes, usage.AvailBytes, v.database.Metrics().DiskSpaceUsage(), s.cfg.DiskMargin), nil
}

// judgeDisk decides. The alarm is cleared a quarter above the level that raises it, so that it does not flap.
func judgeDisk(total, free, state, margin uint64) DiskState {
	d := DiskState{Total: total, Free: free, State: state, Reserve: 2*state + margin}
	d.Low = free < d.Reserve
	d.Enough = free >= d.Reserve+d.Reserve/4
	return d
}
