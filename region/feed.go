package region

import (
	"supercluster/region/state"
)

// Pin gives the rows of the state as they are published now, for what reads the feed. They stay as they are until
// release, which costs the disk what is written meanwhile. One goroutine uses them at a time.
func (r *Region) Pin() (rows state.Reader, release func(), err error) {
	p := r.parts.Load()
	if p == nil {
		return nil, nil, errStarting
	}
	return p.store.Pin()
}

// Changed is closed when rows are published next.
func (r *Region) Changed() <-chan struct{} {
	if p := r.parts.Load(); p != nil {
		return p.store.Changed()
	}
	return r.ready
}

// Busy reports whether the store has much to do with the disk: bulk work makes room for other writers then.
func (r *Region) Busy() bool {
	p := r.parts.Load()
	return p != nil && p.store.Busy()
}

// Leads reports whether this node leads the region, and gives a channel that is closed when that may have changed.
func (r *Region) Leads() (bool, <-chan struct{}) {
	p := r.parts.Load()
	if p == nil {
		return false, r.ready
	}
	leader, changed := p.node.Leader()
	return leader.Replica == p.folder.Replica(), changed
}

// Leader names the node that leads; empty when none is known.
func (r *Region) Leader() string {
	p := r.parts.Load()
	if p == nil {
		return ""
	}
	leader, _ := p.node.Leader()
	return p.nameOf(leader)
}
