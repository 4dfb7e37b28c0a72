package federation

import (
	"context"
	"slices"

	"supercluster/region/record"
	"supercluster/region/state"
)

// Home is the region that a record belongs to.
type Home struct {
	Region [16]byte
	Name   string
	// Here: it is this region, as it is for what is not federated.
	Here bool
	// Known: it is this region or a peer of it.
	Known bool
	Epoch uint64
}

// placedSpace is a federated namespace with its homes by id.
type placedSpace struct {
	placements []record.Placement // ordered by prefix
	homes      [][16]byte         // of the placement at the same place
}

func (s *placedSpace) at(n int, b *book) Home {
	id := s.homes[n]
	return Home{
		Region: id, Name: b.name(id), Here: id == b.self, Known: id == b.self || b.find(id) != nil, Epoch: s.placements[n].Epoch,
	}
}

// of finds the home of a name: that of the longest prefix.
func (s *placedSpace) of(name string, b *book) Home {
	space := record.FederatedNamespace{Placements: s.placements}
	p := space.Home(name)
	n, found := slices.BinarySearchFunc(s.placements, p.Prefix, func(q record.Placement, prefix string) int {
		switch {
		case q.Prefix < prefix:
			return -1
		case q.Prefix > prefix:
			return 1
		}
		return 0
	})
	if !found {
		return Home{Region: b.self, Name: b.name(b.self), Here: true, Known: true}
	}
	return s.at(n, b)
}

type spaceName struct{ tenant, namespace uint32 }

// readSpaces reads every federated namespace.
func readSpaces(r state.Reader, regions []record.Region) (map[spaceName]*placedSpace, error) {
	spaces := map[spaceName]*placedSpace{}
	err := state.EachFederated(r, func(tenant, namespace uint32, s *record.FederatedNamespace) error {
		spaces[spaceName{tenant, namespace}] = spaceOf(s, regions)
		return nil
	})
	return spaces, err
}

func spaceOf(s *record.FederatedNamespace, regions []record.Region) *placedSpace {
	out := &placedSpace{placements: s.Placements, homes: make([][16]byte, len(s.Placements))}
	for i, p := range s.Placements {
		if n := int(p.Home); n >= 1 && n <= len(regions) {
			out.homes[i] = regions[n-1].ID
		}
	}
	return out
}

// Home gives the home of a placed record. What this node knows may be older than what the region does: a write that it is
// wrong about is refused by the region itself.
func (f *Federation) Home(tenant, namespace uint32, name string) Home {
	if s := f.book.space(tenant, namespace); s != nil {
		return s.of(name, f.book)
	}
	return f.self()
}

func (f *Federation) self() Home {
	return Home{Region: f.book.self, Name: f.book.name(f.book.self), Here: true, Known: true}
}

// FreshHome is Home as this node's store has it now.
func (f *Federation) FreshHome(tenant, namespace uint32, name string) (Home, error) {
	home := f.self()
	err := f.pinned(func(r state.Reader) error {
		s, found, err := state.ReadFederated(r, tenant, namespace)
		if err != nil || !found {
			return err
		}
		regions, err := state.Regions(r)
		home = spaceOf(s, regions).of(name, f.book)
		return err
	})
	return home, err
}

// Homes lists every home that records with a prefix can have, each once.
func (f *Federation) Homes(tenant, namespace uint32, prefix string) []Home {
	s := f.book.space(tenant, namespace)
	if s == nil {
		return []Home{f.self()}
	}
	all := []Home{s.of(prefix, f.book)}
	for n, p := range s.placements {
		if len(p.Prefix) > len(prefix) && p.Prefix[:len(prefix)] == prefix {
			h := s.at(n, f.book)
			if !slices.ContainsFunc(all, func(o Home) bool { return o.Region == h.Region }) {
				all = append(all, h)
			}
		}
	}
	return all
}

// Self gives the id of this region and its incarnation, 0 while it exchanges nothing.
func (f *Federation) Self() (region [16]byte, incarnation uint64) {
	f.book.mu.RLock()
	defer f.book.mu.RUnlock()
	return f.book.self, f.book.incarnation
}

// Life gives the incarnation of this region as the store of this node has it now, 0 while it exchanges nothing, and what is
// closed when the next one begins.
func (f *Federation) Life(ctx context.Context) (incarnation uint64, ended <-chan struct{}, err error) {
	for {
		noted, ended := f.book.life()
		var row record.Federation
		if err := f.pinned(func(r state.Reader) (err error) {
			row, _, err = state.ReadFederation(r)
			return err
		}); err != nil {
			return 0, nil, err
		}
		if row.Incarnation == noted {
			return noted, ended, nil
		}
		select {
		case <-ended: // what the store has was not noted yet
		case <-ctx.Done():
			return 0, nil, ctx.Err()
		}
	}
}

func (b *book) life() (incarnation uint64, ended <-chan struct{}) {
	b.mu.RLock()
	defer b.mu.RUnlock()
	return b.incarnation, b.ended
}

func (b *book) space(tenant, namespace uint32) *placedSpace {
	b.mu.RLock()
	defer b.mu.RUnlock()
	return b.spaces[spaceName{tenant, namespace}]
}

// setIncarnation notes the incarnation of this region.
func (b *book) setIncarnation(n uint64) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.incarnation = n
	close(b.ended)
	b.ended = make(chan struct{})
}
