package record

import (
	"encoding/binary"
	"strings"
)

// Row numbers inside the space of regions.
const (
	regionByID     = 1
	regionByAlias  = 2
	regionLink     = 3
	regionSelector = 4
)

// Region is what the machine knows of another region.
type Region struct {
	ID      [16]byte
	Removed bool // no longer a peer: nothing is taken from it
}

// AppendRegionIDKey appends the key of the row that finds a region's alias by its id.
func AppendRegionIDKey(dst []byte, id [16]byte) []byte {
	return append(append(dst, SpaceRegions, regionByID), id[:]...)
}

// AppendAlias appends the value of that row.
func AppendAlias(dst []byte, alias uint32) []byte {
	return binary.AppendUvarint(append(dst, bookFormat), uint64(alias))
}

// DecodeAlias reads the value of that row, and of a tenant link.
func DecodeAlias(b []byte) (alias uint32, err error) {
	c, err := bookCursor(b, "alias")
	if err != nil {
		return 0, err
	}
	alias = c.uint32()
	return alias, c.endOf("alias", len(b))
}

// AppendRegionKey appends the key of the row of a region.
func AppendRegionKey(dst []byte, alias uint32) []byte {
	return binary.BigEndian.AppendUint32(append(dst, SpaceRegions, regionByAlias), alias)
}

// DecodeRegionKey reads the alias in the key of a region's row.
func DecodeRegionKey(b []byte) (alias uint32, err error) {
	if len(b) != 6 || b[0] != SpaceRegions || b[1] != regionByAlias {
		return 0, errCorrupt("not the key of a region")
	}
	return binary.BigEndian.Uint32(b[2:]), nil
}

// AppendRegion appends the value of a region's row.
func AppendRegion(dst []byte, r *Region) []byte {
	return append(append(append(dst, bookFormat), r.ID[:]...), flag(r.Removed, 1))
}

// DecodeRegion reads the value of a region's row.
func DecodeRegion(b []byte) (r Region, err error) {
	c, err := bookCursor(b, "region")
	if err != nil {
		return Region{}, err
	}
	r = Region{ID: c.id(), Removed: c.uint8() != 0}
	return r, c.endOf("region", len(b))
}

// AppendLinkKey appends the key of the row that links a tenant of another region to one of this region. Its value is
// the tenant's number, in the form of an alias.
func AppendLinkKey(dst []byte, alias uint32, tenant [16]byte) []byte {
	return append(binary.BigEndian.AppendUint32(append(dst, SpaceRegions, regionLink), alias), tenant[:]...)
}

// AppendImportSelectorKey appends the key of the row that says what of another region's records is shown here.
func AppendImportSelectorKey(dst []byte, alias uint32) []byte {
	return binary.BigEndian.AppendUint32(append(dst, SpaceRegions, regionSelector), alias)
}

// AppendSelectorRow appends the value of that row.
func AppendSelectorRow(dst []byte, s Selector) []byte {
	return appendSelector(append(dst, bookFormat), s)
}

// DecodeSelectorRow reads the value of that row.
func DecodeSelectorRow(b []byte) (Selector, error) {
	c, err := bookCursor(b, "selector")
	if err != nil {
		return nil, err
	}
	s := c.selector()
	return s, c.endOf("selector", len(b))
}

// Placement gives the placed records of a namespace whose names begin with a prefix to a home.
type Placement struct {
	Prefix string
	Home   uint32 // alias
	Epoch  uint64 // counts the homes of the prefix
}

// FederatedNamespace is a namespace whose records may leave the region: how it is called between regions, and whose its placed records are.
type FederatedNamespace struct {
	Tenant     [16]byte
	Namespace  string
	Placements []Placement // ordered by prefix; the first is that of the empty prefix
}

// Home finds the placement of a name: that of the longest prefix.
func (s *FederatedNamespace) Home(name string) Placement {
	for i := len(s.Placements) - 1; i >= 0; i-- {
		if strings.HasPrefix(name, s.Placements[i].Prefix) {
			return s.Placements[i] // a longer prefix of the same name stands after a shorter one
		}
	}
	return Placement{}
}

// AppendFederatedKey appends the key of a federated namespace.
func AppendFederatedKey(dst []byte, tenant, namespace uint32) []byte {
	dst = binary.BigEndian.AppendUint32(append(dst, SpaceFederated), tenant)
	return binary.BigEndian.AppendUint32(dst, namespace)
}

// DecodeFederatedKey reads the key of a federated namespace.
func DecodeFederatedKey(b []byte) (tenant, namespace uint32, err error) {
	if len(b) != 9 || b[0] != SpaceFederated {
		return 0, 0, errCorrupt("not the key of a federated namespace")
	}
	return binary.BigEndian.Uint32(b[1:]), binary.BigEndian.Uint32(b[5:]), nil
}

// AppendFederated appends the value of a federated namespace's row.
func AppendFederated(dst []byte, s *FederatedNamespace) []byte {
	dst = appendString(append(append(dst, bookFormat), s.Tenant[:]...), s.Namespace)
	dst = binary.AppendUvarint(dst, uint64(len(s.Placements)))
	for i := range s.Placements {
		p := &s.Placements[i]
		dst = binary.AppendUvarint(appendString(dst, p.Prefix), uint64(p.Home))
		dst = binary.AppendUvarint(dst, p.Epoch)
	}
	return dst
}

// DecodeFederated reads the value of a federated namespace's row.
func DecodeFederated(b []byte) (s FederatedNamespace, err error) {
	c, err := bookCursor(b, "federated namespace")
	if err != nil {
		return FederatedNamespace{}, err
	}
	s.Tenant, s.Namespace = c.id(), c.string()
	if n := c.count(3); n > 0 {
		s.Placements = make([]Placement, n)
	}
	for i := range s.Placements {
		s.Placements[i] = Placement{Prefix: c.string(), Home: c.uint32(), Epoch: c.uint64()}
	}
	return s, c.endOf("federated namespace", len(b))
}
