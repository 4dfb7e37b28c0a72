package federation

import (
	"context"
	"encoding/hex"
	"fmt"
	"maps"
	"slices"
	"strings"

	pb "supercluster/api/gen/supercluster/v1"
	"supercluster/internal/fault"
	"supercluster/region/record"
	"supercluster/registry"
)

// sharedNames gives the names that several regions have now, and the ids of these in order.
func sharedNames(own *pb.Region, peers map[[16]byte]*peer) map[string][]string {
	having := map[string][]string{own.GetName(): {own.GetId()}}
	for _, p := range peers {
		having[p.doc.GetName()] = append(having[p.doc.GetName()], p.doc.GetId())
	}
	maps.DeleteFunc(having, func(_ string, ids []string) bool { return len(ids) < 2 })
	for _, ids := range having {
		slices.Sort(ids)
	}
	return having
}

// name gives the name of a region, or its id if it has none for itself.
func (b *book) name(region [16]byte) string {
	b.mu.RLock()
	defer b.mu.RUnlock()
	if region == b.self {
		return b.own.GetName()
	}
	if p := b.peers[region]; p != nil && p.doc.GetName() != "" && b.shared[p.doc.GetName()] == nil {
		return p.doc.GetName()
	}
	return hex.EncodeToString(region[:])
}

// named finds a region by id, name or alias, in this order; this one too. A name that several have stands for none, but here for this
// region if it is one of them: as for the views of package registry.
func (b *book) named(name string) ([16]byte, error) {
	b.mu.RLock()
	defer b.mu.RUnlock()
	for _, is := range []func(d *pb.Region) bool{
		func(d *pb.Region) bool { return d.GetId() == name },
		func(d *pb.Region) bool { return d == b.own && d.GetName() == name },
		func(d *pb.Region) bool { return d.GetName() == name },
		func(d *pb.Region) bool { return slices.Contains(d.GetAliases(), name) },
	} {
		switch found := b.all(is); len(found) {
		case 0:
		case 1:
			return found[0], nil
		default:
			ids := make([]string, len(found))
			for i := range found {
				ids[i] = hex.EncodeToString(found[i][:])
			}
			return [16]byte{}, registry.SeveralRegions("", name, ids)
		}
	}
	return [16]byte{}, fault.New(fault.NotFound, "there is no region %q", name).WithHint("`supercluster region peer ls` lists the regions")
}

// all gives the regions whose documents are such.
func (b *book) all(is func(d *pb.Region) bool) (found [][16]byte) {
	if is(b.own) {
		found = append(found, b.self)
	}
	for id, p := range b.peers {
		if is(p.doc) {
			found = append(found, id)
		}
	}
	return found
}

// conflicts lists the names that several regions have, in order.
func (b *book) conflicts() (all []*pb.Disagreement) {
	b.mu.RLock()
	defer b.mu.RUnlock()
	for _, name := range slices.Sorted(maps.Keys(b.shared)) {
		all = append(all, &pb.Disagreement{
			Region: name, About: "its name",
			Problem: fmt.Sprintf("several regions have it: %s. It stands for none of them elsewhere, and each goes by its id there; "+
				"`supercluster region rename NAME` in one of them ends that", strings.Join(b.shared[name], " and ")),
		})
	}
	return all
}

// nameIsFree judges the name of a region that is to be a peer, with an id.
func (f *Federation) nameIsFree(id, name string) error {
	has := func(d *pb.Region) bool {
		return d.GetId() != id && (d.GetName() == name || slices.Contains(d.GetAliases(), name))
	}
	peers, _ := f.book.list()
	if !has(f.book.ownDocument()) && !slices.ContainsFunc(peers, func(p *peer) bool { return has(p.doc) }) {
		return nil
	}
	return fault.New(fault.Exists, "another region is called %q", name).
		WithHint("choose another name, or rename the other region first: `supercluster region rename NAME`; `supercluster region peer ls` lists the names")
}

// Rename gives this region another name; the old one stays an alias.
func (f *Federation) Rename(ctx context.Context, name string, w record.Writer) (*pb.Region, error) {
	return f.changeSelf(ctx, w, func(doc *pb.Region) error {
		if doc.GetName() == name {
			return nil
		}
		if err := f.nameIsFree(doc.GetId(), name); err != nil {
			return err
		}
		if was := doc.GetName(); !slices.Contains(doc.Aliases, was) {
			doc.Aliases = append(doc.Aliases, was)
		}
		doc.Name = name
		doc.Aliases = slices.DeleteFunc(doc.Aliases, func(a string) bool { return a == name })
		return nil
	})
}
