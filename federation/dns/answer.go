package dns

import (
	"encoding/binary"
	"math/rand/v2"
	"net/netip"
	"slices"
	"time"

	"supercluster/federation/plan"
	"supercluster/registry"
)

// responder makes answers. It is shared by all sockets; what an answer needs while it is made is in a scratch.
type responder struct {
	view    func() *registry.View
	reach   func() *plan.Reach
	tenant  string
	zones   []zone // the longest first
	servers []netip.Addr
	build   builder
	cache   *cache
	metrics *metrics
	ages    func() func(region [16]byte) (time.Duration, bool)
}

// staleAfter is the age from which an answer is marked to be from an old copy. A copy is seldom older than a second while the
// link is well.
const staleAfter = 5 * time.Second

// scratch is the memory of one worker.
type scratch struct {
	query query
	reply reply
	key   []byte
	order order
	// picked are the records in the answer, in its order.
	picked []int
	// hosts marks the targets whose address is in the answer already.
	hosts []bool
	// ages tells how old the copies of regions are that the answer shows; nil: none is old.
	ages func(region [16]byte) (time.Duration, bool)
}

// stale reports whether the copy of a region is old, or nobody knows.
func (s *scratch) stale(region [16]byte) bool {
	age, known := s.ages(region)
	return !known || age > staleAfter
}

func newScratch() *scratch {
	return &scratch{
		reply: reply{buf: make([]byte, 0, 2*maxUDP)},
		key:   make([]byte, 0, maxNameSize+2),
		order: order{random: rand.New(rand.NewPCG(rand.Uint64(), rand.Uint64()))},
	}
}

// answer makes the answer to a packet; nil: there is none. The answer is valid until the next call with the scratch.
func (r *responder) answer(s *scratch, packet []byte, via transport) []byte {
	q := &s.query
	code, ok := q.parse(packet)
	if !ok {
		r.metrics.ignored.Add(1)
		return nil
	}
	limit := maxTCP
	if via == viaUDP {
		limit = min(q.payload, maxUDP)
	}
	s.reply.begin(q, limit)
	if code == rcodeOK {
		code = r.resolve(s)
	}
	out := s.reply.end(code)
	r.metrics.count(via, code, out)
	return out
}

// refuseRate makes the answer that sends a client which asks too often to TCP: there its address is proved. It is no
// larger than the query.
func (r *responder) refuseRate(s *scratch, packet []byte) []byte {
	if _, ok := s.query.parse(packet); !ok {
		return nil
	}
	s.query.edns = false
	s.reply.begin(&s.query, minUDP)
	s.reply.set(flagTruncated)
	return s.reply.end(rcodeOK)
}

// resolve fills the reply.
func (r *responder) resolve(s *scratch) rcode {
	q := &s.query
	if q.class != classIN {
		return rcodeRefused
	}
	switch q.kind {
	case typeANY, typeAXFR, typeIXFR, typeMAILA, typeMAILB:
		return rcodeRefused
	}
	z, ok := r.zoneOf(q)
	if !ok {
		return rcodeRefused
	}
	if r.ages != nil {
		s.ages = r.ages()
	}
	v := r.view()
	if v.At().System == 0 && v.At().Data == 0 {
		return rcodeServer
	}
	s.reply.set(flagAuthority)
	reach := r.reach()
	s.key = append(append(s.key[:0], q.name[:q.size]...), byte(q.kind>>8), byte(q.kind))
	if set, ok := r.cache.get(v, reach, s.key); ok {
		return r.write(s, v, z, set)
	}
	sub := read(q, q.depth-z.depth)
	if sub.kind == subjectService {
		return r.resolveService(s, v, reach, z, sub)
	}
	return r.resolveOther(s, v, z, sub)
}

func (r *responder) zoneOf(q *query) (zone, bool) {
	for _, z := range r.zones {
		if z.holds(q) {
			return z, true
		}
	}
	return zone{}, false
}

func (r *responder) resolveService(s *scratch, v *registry.View, reach *plan.Reach, z zone, sub subject) rcode {
	sv, ok := v.Service(registry.ServiceOf(r.tenant, sub.namespace, sub.service))
	if !ok {
		return r.negative(s, v, z, rcodeName)
	}
	set := r.build.build(v, reach, sv, sub, s.query.kind, z.wire)
	if !set.missing {
		r.cache.put(s.key, set)
	}
	return r.write(s, v, z, set)
}

// resolveOther answers for the names that are not services'.
func (r *responder) resolveOther(s *scratch, v *registry.View, z zone, sub subject) rcode {
	kind := s.query.kind
	found := false
	if !knows(v, sub.region) {
		return r.negative(s, v, z, rcodeName)
	}
	switch sub.kind {
	case subjectNone:
		return r.negative(s, v, z, rcodeName)
	case subjectEmpty:
		if sub.namespace != "" {
			if _, ok := v.Namespace(r.tenant, sub.namespace); !ok {
				return r.negative(s, v, z, rcodeName)
			}
		}
	case subjectApex:
		switch kind {
		case typeSOA:
			found = s.reply.add(sectionAnswer, owner(headerSize), r.soa(v, z.offset(&s.query)))
		case typeNS:
			found = s.reply.add(sectionAnswer, owner(headerSize), r.build.head(typeNS, append([]byte("\x02ns"), owner(headerSize)...)))
			for _, addr := range r.servers {
				s.reply.add(sectionAdditional, []byte("\x02ns"), owner(headerSize), r.build.address(addr))
			}
		}
	case subjectServer:
		for _, addr := range r.servers {
			found = r.addAddress(s, addr) || found
		}
	case subjectAddr:
		found = r.addAddress(s, sub.addr)
	}
	if !found {
		return r.negative(s, v, z, rcodeOK)
	}
	return rcodeOK
}

// knows reports whether a name's region is one, all of them, or none.
func knows(v *registry.View, region string) bool {
	if region == "" || region == wordGlobal {
		return true
	}
	_, ok := v.RegionNamed(region)
	return ok
}

// addAddress adds an address of the name asked for, if it is of the type asked for.
func (r *responder) addAddress(s *scratch, addr netip.Addr) bool {
	if addr.Is4() && s.query.kind == typeA || addr.Is6() && s.query.kind == typeAAAA {
		return s.reply.add(sectionAnswer, owner(headerSize), r.build.address(addr))
	}
	return false
}

// write puts a record set into the reply, the nearest tier first, each in random order, and as much as fits.
func (r *responder) write(s *scratch, v *registry.View, z zone, set *rrset) rcode {
	if set.missing {
		return r.negative(s, v, z, rcodeName)
	}
	if set.lastKnown || s.ages != nil && slices.ContainsFunc(set.copies, s.stale) {
		s.reply.markStale()
		r.metrics.stale.Add(1)
	}
	if len(set.records) == 0 {
		return r.negative(s, v, z, rcodeOK)
	}
	r.pick(s, set)
	if set.hosts > 0 {
		r.glue(s, set)
	}
	return rcodeOK
}

// pick adds records until one does not fit.
func (r *responder) pick(s *scratch, set *rrset) {
	name := owner(headerSize)
	s.picked = s.picked[:0]
	from := 0
	for _, end := range set.tiers {
		s.order.start(end - from)
		for n := range end - from {
			i := from + s.order.at(n)
			if !s.reply.add(sectionAnswer, name, set.records[i].data) {
				s.reply.set(flagTruncated)
				return
			}
			s.picked = append(s.picked, i)
		}
		from = end
	}
}

// glue adds the addresses of the targets that are in the answer, as far as they fit. Their absence is no truncation:
// every target can be asked for.
func (r *responder) glue(s *scratch, set *rrset) {
	if cap(s.hosts) < set.hosts {
		s.hosts = make([]bool, set.hosts)
	}
	s.hosts = s.hosts[:set.hosts]
	clear(s.hosts)
	at := headerSize + len(s.query.question)
	for _, i := range s.picked {
		rec := &set.records[i]
		target := at + 2 + rec.target
		at += 2 + len(rec.data)
		if s.hosts[rec.host] || target > 0x3fff {
			continue
		}
		s.hosts[rec.host] = true
		if !s.reply.add(sectionAdditional, owner(target), rec.glue) {
			return
		}
	}
}

// negative says that the name, or its type, does not exist; the SOA says for how long to remember that.
func (r *responder) negative(s *scratch, v *registry.View, z zone, code rcode) rcode {
	at := z.offset(&s.query)
	s.reply.add(sectionAuthority, owner(headerSize+at), r.soa(v, at))
	return code
}

// soa makes the SOA record; at is where in the question the domain's name starts.
func (r *responder) soa(v *registry.View, at int) []byte {
	domain := owner(headerSize + at)
	data := append([]byte("\x02ns"), domain...)
	data = append(append(data, "\x0ahostmaster"...), domain...)
	for _, n := range []uint32{uint32(v.At().Data), 3600, 600, 86400, r.build.ttl} {
		data = binary.BigEndian.AppendUint32(data, n)
	}
	return r.build.head(typeSOA, data)
}

// owner is a compression pointer to a name earlier in the message.
func owner(offset int) []byte { return []byte{0xc0 | byte(offset>>8), byte(offset)} }
