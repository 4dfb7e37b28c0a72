package dns

import (
	"encoding/binary"
	"net/netip"
	"slices"
	"strings"

	"supercluster/federation/plan"
	"supercluster/registry"
)

// maxText bounds a text of a TXT record, so that one always fits into the smallest message.
const maxText = 200

// maxTexts bounds the TXT records of a name.
const maxTexts = 256

// rr is one record of an answer, ready to be copied behind its owner's name.
type rr struct {
	// data is type, class, TTL, length and data, all but the owner.
	data []byte
	// host numbers the distinct targets of an answer's SRV records, and glue is the address record of the target
	// without its owner; target is where in data the target's name starts, 0 when there is none.
	host   int
	target int
	glue   []byte
}

// rrset is the records of one name and type as they are while the service stays what it is.
type rrset struct {
	key     registry.ServiceKey
	service *registry.ServiceView
	reach   *plan.Reach
	// label is the region asked for and region what it named; nil: none was, or all.
	label  string
	region *registry.RegionView
	// copies are the ids of the other regions that the answer is from.
	copies [][16]byte
	// records are ordered by tier; tiers are where each ends.
	records []rr
	tiers   []int
	hosts   int
	// lastKnown: nobody is healthy, and these were last known.
	lastKnown bool
	// missing tells that the name does not exist: no such port or tag.
	missing bool
}

// builder makes record sets.
type builder struct {
	client plan.Client
	ttl    uint32
}

// build makes the records of a service's name. zone is the domain as asked for, which SRV targets are under.
func (b builder) build(v *registry.View, reach *plan.Reach, sv *registry.ServiceView, s subject, kind uint16, zone string) *rrset {
	set := &rrset{key: sv.Key, service: sv, reach: reach}
	q := plan.Query{Service: sv.Key, Port: s.port, AllRegions: s.region == wordGlobal}
	known, found := true, false
	if s.region != "" && !q.AllRegions {
		q.Region, set.label = s.region, s.region
		set.region, known = v.RegionNamed(s.region)
	}
	if q.Tag, found = spelling(sv, s.tag); !found || !known {
		set.missing = true
		return set
	}
	p, ok := plan.For(v, reach, b.client, q)
	if !ok {
		set.missing = true
		return set
	}
	if s.group {
		return set
	}
	used := len(p.Tiers)
	if kind == typeA || kind == typeAAAA {
		used = shown(p)
	}
	set.lastKnown = p.LastKnown()
	if passing(p, used) {
		b.ttl = min(b.ttl, passingTTL)
	}
	switch kind {
	case typeA, typeAAAA:
		b.addresses(set, p.Tiers[:used], kind)
	case typeSRV:
		b.services(set, p, zone)
	case typeTXT:
		b.texts(set, p, sv)
	}
	set.copies = copies(v, set, p, used)
	return set
}

// passingTTL is the longest TTL, in seconds, of an answer that may soon be another one.
const passingTTL = 1

// passing reports whether the first tiers of a plan may soon be others: they are not healthy, or of a region that is not
// up.
func passing(p plan.Plan, used int) bool {
	if p.LastKnown() {
		return true
	}
	for _, tier := range p.Tiers[:used] {
		name := tier.Localities[0].Region
		at := slices.IndexFunc(p.Regions, func(r plan.Region) bool { return r.Reach.Region == name })
		if at >= 0 && p.Regions[at].Reach.State != plan.StateUp {
			return true
		}
	}
	return false
}

// shown tells how many tiers an answer of addresses has: the first, or all when all regions were asked for. An address
// does not say when to use it, so the others stay away until they are needed.
func shown(p plan.Plan) int {
	if p.Query.AllRegions {
		return len(p.Tiers)
	}
	return min(len(p.Tiers), 1)
}

// copies lists the other regions that an answer is from: those of the tiers that it shows; the one asked for; and when
// nobody serves all that have an instance.
func copies(v *registry.View, set *rrset, p plan.Plan, used int) [][16]byte {
	var out [][16]byte
	add := func(r *registry.RegionView, ok bool) {
		if ok && !r.IsLocal() && !slices.Contains(out, r.ID) {
			out = append(out, r.ID)
		}
	}
	if set.region != nil {
		add(set.region, true)
		return out
	}
	if len(p.Tiers) == 0 {
		for at := len(set.service.Local()); at < len(set.service.Instances); at++ {
			add(v.RegionAt(set.service.Instances[at].Key.Scope))
		}
	}
	for _, tier := range p.Tiers[:used] {
		add(v.RegionAt(tier.Localities[0].Endpoints[0].Scope))
	}
	return out
}

// spelling finds a tag as its instances spell it: names in DNS have no case.
func spelling(sv *registry.ServiceView, tag string) (string, bool) {
	if tag == "" {
		return "", true
	}
	for _, t := range sv.Tags() {
		if strings.EqualFold(t, tag) {
			return t, true
		}
	}
	return "", false
}

// addresses makes one record for each address of some tiers.
func (b builder) addresses(set *rrset, tiers []plan.Tier, kind uint16) {
	seen := map[netip.Addr]bool{}
	for _, tier := range tiers {
		for e := range endpoints(tier) {
			addr := e.Addr.Addr().Unmap().WithZone("")
			if addr.Is4() == (kind == typeA) && !seen[addr] {
				seen[addr] = true
				set.records = append(set.records, rr{data: b.address(addr)})
			}
		}
		set.endTier()
	}
}

// endTier ends the records of a tier.
func (s *rrset) endTier() {
	if n := len(s.records); n > 0 && (len(s.tiers) == 0 || s.tiers[len(s.tiers)-1] < n) {
		s.tiers = append(s.tiers, n)
	}
}

// services makes one record for each endpoint; the priority is its tier's.
func (b builder) services(set *rrset, p plan.Plan, zone string) {
	hosts := map[netip.Addr]int{}
	for _, tier := range p.Tiers {
		for e := range endpoints(tier) {
			addr := e.Addr.Addr().Unmap().WithZone("")
			host, ok := hosts[addr]
			if !ok {
				host = len(hosts)
				hosts[addr] = host
			}
			rdata := binary.BigEndian.AppendUint16(nil, uint16(min(tier.Priority, 65535)))
			rdata = binary.BigEndian.AppendUint16(rdata, uint16(min(e.Weight, 65535)))
			rdata = binary.BigEndian.AppendUint16(rdata, e.Addr.Port())
			rdata = append(append(rdata, target(addr)...), zone...)
			set.records = append(set.records, rr{
				data: b.head(typeSRV, rdata), host: host, target: 10 + 6, glue: b.address(addr),
			})
		}
		set.endTier()
	}
	set.hosts = len(hosts)
}

// texts makes one record for each distinct text.
func (b builder) texts(set *rrset, p plan.Plan, sv *registry.ServiceView) {
	all := pairs(nil, sv.Definition.GetMetadata())
	for _, tier := range p.Tiers {
		for e := range endpoints(tier) {
			in, ok := sv.InstanceIn(e.Scope, e.Instance)
			if !ok {
				continue
			}
			all = pairs(all, in.Instance.GetMetadata())
			for _, tag := range in.Instance.GetTags() {
				all = append(all, "tag="+tag)
			}
		}
	}
	slices.Sort(all)
	all = slices.DeleteFunc(slices.Compact(all), func(t string) bool { return len(t) > maxText })
	for _, text := range all[:min(len(all), maxTexts)] {
		set.records = append(set.records, rr{data: b.head(typeTXT, append([]byte{byte(len(text))}, text...))})
	}
	set.endTier()
}

func pairs(dst []string, metadata map[string]string) []string {
	for k, v := range metadata {
		dst = append(dst, k+"="+v)
	}
	return dst
}

// address makes an A or AAAA record without its owner.
func (b builder) address(addr netip.Addr) []byte {
	if addr.Is4() {
		return b.head(typeA, addr.AsSlice())
	}
	return b.head(typeAAAA, addr.AsSlice())
}

// head puts type, class, TTL and length before data.
func (b builder) head(kind uint16, data []byte) []byte {
	out := binary.BigEndian.AppendUint16(make([]byte, 0, 10+len(data)), kind)
	out = binary.BigEndian.AppendUint16(out, classIN)
	out = binary.BigEndian.AppendUint32(out, b.ttl)
	out = binary.BigEndian.AppendUint16(out, uint16(len(data)))
	return append(out, data...)
}

func endpoints(t plan.Tier) func(yield func(plan.Endpoint) bool) {
	return func(yield func(plan.Endpoint) bool) {
		for _, l := range t.Localities {
			for _, e := range l.Endpoints {
				if !yield(e) {
					return
				}
			}
		}
	}
}
