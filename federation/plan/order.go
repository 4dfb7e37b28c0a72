package plan

import (
	"bytes"
	"cmp"
	"slices"

	"supercluster/region/record"
	"supercluster/registry"
)

// Peer is a region with instances, as an order needs it.
type Peer struct {
	ID    [16]byte // zero: not known
	Alias uint32
	Name  string
}

// PeerAt is the region with an alias; name is what its instances call it.
func PeerAt(v *registry.View, alias uint32, name string) Peer {
	p := Peer{Alias: alias, Name: name}
	if r, ok := v.RegionAt(alias); ok {
		p.ID = r.ID
	}
	return p
}

// Of tells what is known of a region: up, at a cost that is not known, when nothing is said of it. A nil Reach says
// nothing of anybody.
func (r *Reach) Of(id [16]byte) RegionReach {
	if r != nil {
		at, found := slices.BinarySearchFunc(r.Regions, id, func(r RegionReach, id [16]byte) int { return bytes.Compare(r.ID[:], id[:]) })
		if found {
			return r.Regions[at]
		}
	}
	return RegionReach{ID: id, Cost: costUnknown}
}

const costUnknown = -1

// Compare puts the nearer region first: this one, then those that are not away, then those that are; among them by
// cost, those whose cost is not known by name behind the others. On an island nobody counts as away: it is this region
// that does not reach the others.
func (r *Reach) Compare(a, b Peer) int {
	if d := cmp.Compare(elsewhere(a), elsewhere(b)); d != 0 || elsewhere(a) == 0 {
		return d
	}
	x, y := r.Of(a.ID), r.Of(b.ID)
	return cmp.Or(
		cmp.Compare(r.demotion(x), r.demotion(y)),
		cmp.Compare(unmeasured(x), unmeasured(y)),
		cmp.Compare(max(x.Cost, costUnknown), max(y.Cost, costUnknown)),
		cmp.Compare(a.Name, b.Name),
		cmp.Compare(a.Alias, b.Alias),
	)
}

func elsewhere(p Peer) int {
	if p.Alias == record.ScopeRegion {
		return 0
	}
	return 1
}

// demotion is 1 for a region that stands behind those that are not away.
func (r *Reach) demotion(x RegionReach) int {
	if x.State == StateAway && !r.Island {
		return 1
	}
	return 0
}

func unmeasured(x RegionReach) int {
	if x.Cost < 0 {
		return 1
	}
	return 0
}

func island(r *Reach) bool { return r != nil && r.Island }
