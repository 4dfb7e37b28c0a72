package registry

import (
	"cmp"
	"net/netip"
	"slices"
	"sort"
	"strings"
	"time"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	pb "supercluster/api/gen/supercluster/v1"
	"supercluster/region/record"
)

// Counts are how many instances a service has, by health; draining ones are counted beside that.
type Counts struct{ Instances, Passing, Warning, Critical, Draining int }

func (c *Counts) add(i *InstanceView, n int) {
	c.Instances += n
	switch i.Health {
	case pb.Health_HEALTH_PASSING:
		c.Passing += n
	case pb.Health_HEALTH_WARNING:
		c.Warning += n
	default:
		c.Critical += n
	}
	if i.Instance.GetDraining() {
		c.Draining += n
	}
}

// ServiceView is a service: its definition, if it has one, and its instances of all regions. Nothing of it ever
// changes.
type ServiceView struct {
	Key ServiceKey
	// Definition is nil when the service has none.
	Definition     *pb.Service
	DefinitionMeta Meta
	// DefinitionOrigin is where the definition came from, nil when it was written here.
	DefinitionOrigin *record.Origin
	// Instances are those of this region, then those of the others by alias, each by id.
	Instances []*InstanceView
	// Counts are of all instances, LocalCounts of those of this region.
	Counts, LocalCounts Counts
	// Revision is that of the last change. A view built from records knows of no deletions, so there it is that
	// of the newest record.
	Revision uint64

	tags, zones, ports tally
}

// Instance finds an instance of this region by its id.
func (s *ServiceView) Instance(id string) (*InstanceView, bool) {
	return s.InstanceIn(record.ScopeRegion, id)
}

// InstanceIn finds an instance by the alias of its region and its id.
func (s *ServiceView) InstanceIn(alias uint32, id string) (*InstanceView, bool) {
	at, ok := s.find(alias, id)
	if !ok {
		return nil, false
	}
	return s.Instances[at], true
}

// Local lists the instances of this region by id: the only ones that it may probe, expire, drain or write.
func (s *ServiceView) Local() []*InstanceView {
	n := len(s.Instances)
	if n > 0 && !s.Instances[n-1].Key.IsLocal() {
		n, _ = s.find(record.ScopeRegion+1, "")
	}
	return s.Instances[:n:n]
}

// Regions lists the names of the regions that have an instance: this one, then by alias.
func (s *ServiceView) Regions() []string {
	var names []string
	for rest := s.Instances; len(rest) > 0; {
		scope := rest[0].Key.Scope
		names = append(names, rest[0].Instance.GetRegion())
		rest = rest[sort.Search(len(rest), func(n int) bool { return rest[n].Key.Scope > scope }):]
	}
	return names
}

func (s *ServiceView) find(alias uint32, id string) (int, bool) {
	return slices.BinarySearchFunc(s.Instances, id, func(i *InstanceView, id string) int {
		if i.Key.Scope != alias {
			return cmp.Compare(i.Key.Scope, alias)
		}
		return strings.Compare(i.Key.ID, id)
	})
}

// add counts an instance, n times.
func (s *ServiceView) add(i *InstanceView, n int) {
	if i == nil {
		return
	}
	s.Counts.add(i, n)
	if i.Key.IsLocal() {
		s.LocalCounts.add(i, n)
	}
}

// Tags lists the tags of the instances, sorted.
func (s *ServiceView) Tags() []string { return s.tags.names() }

// Zones lists the zones of the instances, sorted; instances without a zone add none.
func (s *ServiceView) Zones() []string { return s.zones.names() }

// Ports lists the named ports, of the definition and of the instances, sorted.
func (s *ServiceView) Ports() []string {
	names := s.ports.names()
	for _, p := range s.Definition.GetPorts() {
		names = append(names, p.GetName())
	}
	slices.Sort(names)
	return slices.Compact(names)
}

// Protocol tells the protocol of a named port, "" for the default one. It is never unspecified; false: neither
// the definition nor an instance has such a port.
func (s *ServiceView) Protocol(port string) (pb.Protocol, bool) {
	if port == "" {
		return orHTTP(s.Definition.GetProtocol()), true
	}
	if p := s.definedPort(port); p != nil {
		return orHTTP(p.GetProtocol()), true
	}
	return pb.Protocol_PROTOCOL_HTTP, s.ports.has(port)
}

// Port resolves a named port of an instance, "" for the default one. The instance's own number goes before the
// definition's.
func (s *ServiceView) Port(in *InstanceView, name string) (uint16, bool) {
	if name == "" {
		return uint16(in.Instance.GetPort()), true
	}
	if n, ok := in.Instance.GetPorts()[name]; ok {
		return uint16(n), true
	}
	if p := s.definedPort(name); p.GetPort() != 0 {
		return uint16(p.GetPort()), true
	}
	return 0, false
}

func (s *ServiceView) definedPort(name string) *pb.Port {
	for _, p := range s.Definition.GetPorts() {
		if p.GetName() == name {
			return p
		}
	}
	return nil
}

func orHTTP(p pb.Protocol) pb.Protocol {
	if p == pb.Protocol_PROTOCOL_UNSPECIFIED {
		return pb.Protocol_PROTOCOL_HTTP
	}
	return p
}

// InstanceView is an instance with its checks and their state. Nothing of it ever changes.
type InstanceView struct {
	Key InstanceKey
	// Instance has the names of its key and of the region; checks, health and meta are beside it, not in it.
	Instance *pb.Instance
	Addr     netip.Addr
	// Checks are ordered by id.
	Checks []*pb.Check
	// Status has the last transition of each of Checks, nil where there was none yet.
	Status []*pb.CheckStatus
	// Health is the worst of the checks; passing without checks. A check without a status counts as critical.
	Health pb.Health
	Meta
	// DrainUntil is when a draining instance is due to be removed; zero when nobody said.
	DrainUntil time.Time
	// Origin is where the record of an instance of another region came from; nil for one of this region.
	Origin *record.Origin
	// SourceRevision is the revision of its own region at which it, a check or a status of it last changed.
	SourceRevision uint64
	// SourceIncarnation is the incarnation of that region which it is of; 0 where that is not known.
	SourceIncarnation uint64

	space spaceID
	// writtenAt is that revision of its own record alone.
	writtenAt written
	// parts are the checks and statuses there are records of, by check id; a status may have no check.
	parts []part
}

// part is what there is of one check.
type part struct {
	id     string
	check  *pb.Check
	meta   Meta // of the check
	status *pb.CheckStatus
	// checkAt and statusAt are the revisions of their own region at which they changed last.
	checkAt, statusAt written
}

// notCheckedYet is the output of a check that has no status.
const notCheckedYet = "not checked yet"

// CheckMeta is where the record of a check stands; false: the instance has no such check.
func (i *InstanceView) CheckMeta(check string) (Meta, bool) {
	if at, ok := i.findPart(check); ok && i.parts[at].check != nil {
		return i.parts[at].meta, true
	}
	return Meta{}, false
}

// HasTag reports whether the instance has a tag.
func (i *InstanceView) HasTag(tag string) bool {
	return slices.Contains(i.Instance.GetTags(), tag)
}

// Answer gives a copy of the instance as the API shows it: with checks, their status, health, meta and source.
func (i *InstanceView) Answer() *pb.Instance {
	out := proto.CloneOf(i.Instance)
	out.Health = i.Health
	out.Meta = i.Meta.Answer(out.Region)
	out.Source = &pb.Source{Region: out.Region, Revision: i.SourceRevision, Incarnation: i.SourceIncarnation}
	if !i.DrainUntil.IsZero() {
		out.DrainUntil = timestamppb.New(i.DrainUntil)
	}
	for n, c := range i.Checks {
		out.Checks = append(out.Checks, proto.CloneOf(c))
		status := i.Status[n]
		if status == nil {
			status = &pb.CheckStatus{CheckId: c.GetId(), Health: pb.Health_HEALTH_CRITICAL, Output: notCheckedYet}
		}
		out.CheckStatus = append(out.CheckStatus, proto.CloneOf(status))
	}
	return out
}

func (i *InstanceView) findPart(check string) (int, bool) {
	return slices.BinarySearchFunc(i.parts, check, func(p part, id string) int { return strings.Compare(p.id, id) })
}

// withPart gives a copy with one part changed; what is left without check and status goes.
func (i *InstanceView) withPart(check string, change func(*part)) *InstanceView {
	c := *i
	at, ok := i.findPart(check)
	if ok {
		c.parts = slices.Clone(i.parts)
	} else {
		c.parts = slices.Insert(slices.Clone(i.parts), at, part{id: check})
	}
	change(&c.parts[at])
	if c.parts[at].check == nil && c.parts[at].status == nil {
		c.parts = slices.Delete(c.parts, at, at+1)
	}
	if c.Instance != nil {
		c.settle()
	}
	return &c
}

// settle derives what follows from the parts of an instance that is there.
func (i *InstanceView) settle() {
	i.Health = pb.Health_HEALTH_PASSING
	at := i.writtenAt
	i.Checks, i.Status = make([]*pb.Check, 0, len(i.parts)), make([]*pb.CheckStatus, 0, len(i.parts))
	for _, p := range i.parts {
		at = at.last(p.checkAt).last(p.statusAt)
		if p.check == nil {
			continue
		}
		i.Checks = append(i.Checks, p.check)
		i.Status = append(i.Status, p.status)
		i.Health = max(i.Health, healthOf(p.status))
	}
	i.SourceRevision, i.SourceIncarnation = at.revision, at.incarnation
}

// healthOf is the health of a check by its last transition; without one, or of an unknown kind, critical.
func healthOf(s *pb.CheckStatus) pb.Health {
	switch h := s.GetHealth(); h {
	case pb.Health_HEALTH_PASSING, pb.Health_HEALTH_WARNING:
		return h
	default:
		return pb.Health_HEALTH_CRITICAL
	}
}

// tally counts labels, sorted by name. It is replaced, never changed in place.
type tally []labelCount

type labelCount struct {
	name string
	n    int
}

func (t tally) find(name string) (int, bool) {
	return slices.BinarySearchFunc(t, name, func(c labelCount, name string) int { return strings.Compare(c.name, name) })
}

func (t tally) has(name string) bool {
	_, ok := t.find(name)
	return ok
}

// add gives a tally with a name counted n more.
func (t tally) add(name string, n int) tally {
	at, ok := t.find(name)
	c := slices.Clone(t)
	if !ok {
		return slices.Insert(c, at, labelCount{name, n})
	}
	if c[at].n += n; c[at].n == 0 {
		return slices.Delete(c, at, at+1)
	}
	return c
}

func (t tally) names() []string {
	names := make([]string, 0, len(t))
	for _, c := range t {
		names = append(names, c.name)
	}
	return names
}
