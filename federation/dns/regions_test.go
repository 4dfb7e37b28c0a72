package dns

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	mdns "github.com/miekg/dns"
	"google.golang.org/protobuf/proto"

	pb "supercluster/api/gen/supercluster/v1"
	"supercluster/federation/plan"
	"supercluster/region/record"
	"supercluster/region/state"
	"supercluster/registry"
)

// region writes the record of a peer, whose id is its alias.
func (s *store) region(alias byte, name string, aliases ...string) {
	s.t.Helper()
	id := registry.RegionRecordKey([16]byte{alias}).Name
	op, err := registry.PutRegionOp(&pb.Region{Id: id, Name: name, Aliases: aliases}, uint32(alias), registry.Write{})
	if err != nil {
		s.t.Fatal(err)
	}
	s.apply(op)
}

// imported adds instances of a peer to the view, in the commit of a write of our own.
func (s *store) imported(alias byte, ins ...*pb.Instance) {
	s.t.Helper()
	op, _, err := registry.PutRouteOp(s.view, &pb.Route{Name: "any", Hosts: []string{"*"}, Service: "any"}, 0, registry.Write{})
	if err != nil {
		s.t.Fatal(err)
	}
	s.index++
	out, err := state.Apply(s.mem, s.index, &record.Entry{Level: 1, Ops: []record.Op{op}})
	if err != nil || len(out.Commits) != 1 {
		s.t.Fatal(err, out.Results)
	}
	c := &out.Commits[0]
	for _, in := range ins {
		value, err := proto.Marshal(in)
		if err != nil {
			s.t.Fatal(err)
		}
		tenant, namespace, _ := s.view.NamespaceIDs("default", registry.NamespaceOf("", in.GetNamespace()).Namespace)
		at := c.Position.Revision
		c.Events = append(c.Events, record.Event{Type: record.EventPut, Record: record.Record{
			Key: record.Key{
				Shard: record.ShardData, Tenant: tenant, Namespace: namespace, Kind: record.KindInstance, Scope: uint32(alias),
				Name: registry.InstanceName(in.GetService(), in.GetId()),
			},
			Value: value, CreateRevision: at, ModifyRevision: at, Version: 1, Origin: record.Origin{Home: [16]byte{alias}, HomeRevision: 5},
		}})
	}
	s.view, _ = s.view.Next(out.Commits)
}

// regions is the example with two peers: dc2, once called eu, and dc3. web is everywhere, db only in dc2 and dc3,
// far only in dc3.
func regions(t testing.TB) *store {
	s := example(t)
	s.region(3, "dc2", "eu") // the order of names is not that of aliases
	s.region(2, "dc3")
	s.imported(3,
		&pb.Instance{Service: "web", Id: "w1", Address: "10.2.0.1", Port: 9001, Tags: []string{"v2", "two"}, Metadata: map[string]string{"build": "8"}},
		&pb.Instance{Service: "db", Id: "d1", Address: "10.2.1.1", Port: 5432},
		&pb.Instance{Namespace: "team-a", Service: "web", Id: "a1", Address: "10.2.2.1", Port: 80, Tags: []string{"v1"}},
	)
	s.imported(2,
		&pb.Instance{Service: "web", Id: "w1", Address: "10.3.0.1", Port: 9001},
		&pb.Instance{Service: "db", Id: "d1", Address: "10.3.1.1", Port: 5432},
		&pb.Instance{Service: "far", Id: "f1", Address: "10.3.2.1", Port: 80},
	)
	return s
}

// addresses are the data of an answer's records, in its order.
func addresses(m *mdns.Msg) string {
	var out []string
	for _, rr := range m.Answer {
		out = append(out, strings.TrimPrefix(rr.String(), rr.Header().String()))
	}
	return strings.Join(out, " ")
}

// sortedAddresses are the same for comparing.
func sortedAddresses(m *mdns.Msg) string {
	all := strings.Split(addresses(m), " ")
	slices.Sort(all)
	return strings.Join(all, " ")
}

func TestRegions(t *testing.T) {
	s := regions(t)
	r := newResponder(t, func() *registry.View { return s.view })
	id := registry.RegionRecordKey([16]byte{3}).Name
	const nx, here = "NXDOMAIN", "10.0.0.1 10.0.0.2"
	tests := []struct{ name, want string }{
		{"web.service", here}, // the plan: the first tier
		{"web.service.dc1", here},
		{"web.service.dc2", "10.2.0.1"},
		{"WEB.service.DC2", "10.2.0.1"},
		{"web.service.eu", "10.2.0.1"},
		{"web.service." + id, "10.2.0.1"},
		{"web.service.dc3", "10.3.0.1"},
		{"web.service.global", here + " 10.2.0.1 10.3.0.1"},
		{"db.service", "10.2.1.1"}, // fails over to the nearest
		{"db.service.dc1", ""},
		{"db.service.global", "10.2.1.1 10.3.1.1"},
		{"far.service", "10.3.2.1"},
		{"far.service.dc2", ""}, // the service exists, not there
		{"down.service.global", ""},
		{"web.service.team-a.ns.dc2", "10.2.2.1"},
		{"web.service.team-a.ns.global", "10.1.0.1 10.2.2.1"},
		{"web.service.default.ns.dc2", "10.2.0.1"},
		{"v2.web.service.dc2", "10.2.0.1"},
		{"v1.web.service.dc2", ""}, // the tag exists, not there
		{"v1.web.service.team-a.ns.dc2", "10.2.2.1"},
		{"two.web.service", "10.2.0.1"},
		{"v2.web.service.global", "10.0.0.2 10.2.0.1"},
		{"_web._tcp.dc2", "10.2.0.1"},
		{"_web._two.dc2", "10.2.0.1"},
		{"_web._tcp.service.dc2", "10.2.0.1"},
		{"_web._tcp.service.team-a.ns.dc2", "10.2.2.1"},
		{"_web._tcp.team-a.ns.global", "10.1.0.1 10.2.2.1"},
		{"_admin._tcp.web.service.dc2", "10.2.0.1"},

		// Names that others are below exist.
		{"dc2", ""},
		{"global", ""},
		{"service.dc2", ""},
		{"_tcp.dc2", ""},
		{"ns.dc2", ""},
		{"team-a.ns.dc2", ""},
		{"service.team-a.ns.global", ""},
		{"_tcp.web.service.dc2", ""},

		{"dc7", nx},
		{"service.dc7", nx},
		{"web.service.dc7", nx},
		{"web.service.team-a.ns.dc7", nx},
		{"_web._tcp.dc7", nx},
		{"_tcp.dc7", nx},
		{"none.service.dc2", nx},
		{"none.service.global", nx},
		{"web.service.none.ns.dc2", nx},
		{"none.ns.dc2", nx},
		{"v9.web.service.dc2", nx},
		{"_none._tcp.web.service.dc2", nx},
		{"web.dc2", nx},
		{"web.service.dc2.dc2", nx},
		{"web.service.dc2.global", nx},
		{"web.service.global.ns", nx},
		{"web.service.service", nx},
		{"0a000001.addr.dc2", nx},
		{"addr.dc2", nx},
	}
	for _, tt := range tests {
		for _, domain := range []string{"sc.internal.", "consul."} {
			for _, round := range []string{"built", "cached"} {
				got := ask(t, r, question(tt.name+"."+domain, mdns.TypeA), viaUDP)
				have := sortedAddresses(got)
				if got.Rcode == mdns.RcodeNameError {
					have = nx
				}
				if have != tt.want || len(got.Answer) == 0 != (len(got.Ns) == 1) {
					t.Errorf("%s.%s, %s: %s, want %s", tt.name, domain, round, have, tt.want)
				}
			}
		}
	}
}

func TestRegions_ServicesAndTexts(t *testing.T) {
	s := regions(t)
	r := newResponder(t, func() *registry.View { return s.view })
	tests := []struct {
		name string
		kind uint16
		want []string
	}{
		{"web.service.sc.internal.", mdns.TypeSRV, []string{
			"0 10 9001 0a000001", "0 100 9002 0a000002", "0 100 9003 0a000002", "0 100 9006 20010db8000000000000000000000006",
			"1 1 9001 0a020001", "2 1 9001 0a030001",
		}},
		{"web.service.dc3.sc.internal.", mdns.TypeSRV, []string{"0 100 9001 0a030001"}},
		{"db.service.global.sc.internal.", mdns.TypeSRV, []string{"0 100 5432 0a020101", "1 100 5432 0a030101"}},
		{"web.service.dc2.sc.internal.", mdns.TypeTXT, []string{`"build=8"`, `"owner=shop"`, `"tag=two"`, `"tag=v2"`}},
	}
	for _, tt := range tests {
		got := ask(t, r, question(tt.name, tt.kind), viaTCP)
		var have, want []string
		for _, rr := range got.Answer {
			text := strings.TrimPrefix(rr.String(), rr.Header().String())
			have = append(have, strings.TrimSuffix(text, ".addr.sc.internal."))
		}
		slices.Sort(have)
		for _, w := range tt.want {
			want = append(want, strings.Replace(w, " 1 9001", " 100 9001", 1))
		}
		if !slices.Equal(have, want) {
			t.Errorf("%s %s: %q, want %q", tt.name, mdns.TypeToString[tt.kind], have, want)
		}
		for _, rr := range got.Extra {
			if m := ask(t, r, question(rr.Header().Name, rr.Header().Rrtype), viaUDP); len(m.Answer) != 1 {
				t.Errorf("the target %s does not resolve", rr.Header().Name)
			}
		}
	}
}

// The nearest comes first in an answer of all regions, and what does not fit are the farthest.
func TestRegions_NearestFirst(t *testing.T) {
	s := newStore(t)
	s.region(2, "dc2")
	var here, there []*pb.Instance
	for i := range 40 {
		here = append(here, &pb.Instance{Service: "web", Id: fmt.Sprint(i), Address: fmt.Sprintf("10.1.0.%d", i), Port: 80})
		there = append(there, &pb.Instance{Service: "web", Id: fmt.Sprint(i), Address: fmt.Sprintf("10.2.0.%d", i), Port: 80})
	}
	s.register(here...)
	s.imported(2, there...)
	r := newResponder(t, func() *registry.View { return s.view })
	for _, via := range []transport{viaUDP, viaTCP} {
		for _, kind := range []uint16{mdns.TypeA, mdns.TypeSRV} {
			got := ask(t, r, question("web.service.global.sc.internal.", kind), via)
			all := strings.Fields(strings.ReplaceAll(addresses(got), "0a01", "10.1."))
			last := ""
			for _, text := range all {
				if strings.HasPrefix(text, "10.1.") && strings.HasPrefix(last, "10.2.") {
					t.Errorf("%s after %s", text, last)
				}
				last = text
			}
			if via == viaTCP && len(got.Answer) != 80 || via == viaUDP && !got.Truncated {
				t.Errorf("%d records, truncated %v", len(got.Answer), got.Truncated)
			}
		}
	}
}

// oldIf makes copies old or new.
func oldIf(old func(region [16]byte) bool) func() func([16]byte) (time.Duration, bool) {
	return func() func([16]byte) (time.Duration, bool) {
		return func(region [16]byte) (time.Duration, bool) {
			if old(region) {
				return staleAfter + time.Second, true
			}
			return staleAfter - time.Second, true
		}
	}
}

// stale tells the extended error of an answer, -1 without one.
func stale(m *mdns.Msg) int {
	if opt := m.IsEdns0(); opt != nil {
		for _, o := range opt.Option {
			if e, ok := o.(*mdns.EDNS0_EDE); ok {
				return int(e.InfoCode)
			}
		}
	}
	return -1
}

// A region whose copy is old is answered all the same, marked for clients that understand it, and never as an error.
func TestRegions_StaleCopies(t *testing.T) {
	s := regions(t)
	s.imported(3, &pb.Instance{Service: "leaving", Id: "l1", Address: "10.2.9.1", Port: 80, Draining: true})
	r := newResponder(t, func() *registry.View { return s.view })
	old := map[[16]byte]bool{{3}: true} // dc2
	r.ages = oldIf(func(region [16]byte) bool { return old[region] })
	tests := []struct {
		name  string
		kind  uint16
		stale bool
		want  string
	}{
		{"web.service.dc2", mdns.TypeA, true, "10.2.0.1"},
		{"web.service.eu", mdns.TypeA, true, "10.2.0.1"},
		{"web.service.dc2", mdns.TypeAAAA, true, ""},
		{"far.service.dc2", mdns.TypeA, true, ""}, // perhaps it has one by now
		{"db.service", mdns.TypeA, true, "10.2.1.1"},
		{"web.service.global", mdns.TypeA, true, "10.0.0.1 10.0.0.2 10.2.0.1 10.3.0.1"},
		{"web.service", mdns.TypeA, false, "10.0.0.1 10.0.0.2"}, // nothing of it is from dc2
		{"leaving.service", mdns.TypeA, true, ""},               // nobody serves, as far as is known
		{"web.service.dc1", mdns.TypeA, false, "10.0.0.1 10.0.0.2"},
		{"web.service.dc3", mdns.TypeA, false, "10.3.0.1"},
		{"far.service", mdns.TypeA, false, "10.3.2.1"},
		{"none.service.dc2", mdns.TypeA, false, ""},
	}
	for _, tt := range tests {
		for _, edns := range []bool{true, false} {
			m := question(tt.name+".sc.internal.", tt.kind)
			want := -1
			if edns {
				m.SetEdns0(1232, false)
				if tt.stale {
					want = int(mdns.ExtendedErrorCodeStaleAnswer)
				}
			}
			for range 2 {
				got := ask(t, r, m, viaUDP)
				if sortedAddresses(got) != tt.want || stale(got) != want || got.Rcode == mdns.RcodeServerFailure {
					t.Errorf("%s, EDNS %v: %s, extended error %d, want %s, %d", tt.name, edns, sortedAddresses(got), stale(got), tt.want, want)
				}
			}
		}
	}
	m := question("web.service.dc2.sc.internal.", mdns.TypeA)
	m.SetEdns0(1232, true)
	clear(old) // asked for each answer, also a cached one
	if got := ask(t, r, m, viaUDP); stale(got) != -1 || !got.IsEdns0().Do() {
		t.Errorf("caught up: %v", got)
	}
}

// A name is answered by what its region is called now, whatever was cached.
func TestRegions_FollowTheirNames(t *testing.T) {
	s := regions(t)
	r := newResponder(t, func() *registry.View { return s.view })
	code := func(name string) string {
		return mdns.RcodeToString[ask(t, r, question(name+".sc.internal.", mdns.TypeA), viaUDP).Rcode]
	}
	for range 2 {
		if a, b := code("far.service.dc2"), code("far.service.paris"); a != "NOERROR" || b != "NXDOMAIN" {
			t.Fatalf("before: dc2 %s, paris %s", a, b)
		}
	}
	s.region(3, "paris") // far has no instance there, so the service stays as it is
	for range 2 {
		if a, b := code("far.service.dc2"), code("far.service.paris"); a != "NXDOMAIN" || b != "NOERROR" {
			t.Fatalf("after: dc2 %s, paris %s", a, b)
		}
	}
	if got := ask(t, r, question("web.service.paris.sc.internal.", mdns.TypeA), viaUDP); addresses(got) != "10.2.0.1" {
		t.Errorf("paris: %v", got)
	}
}

// A name that two regions have answers as one that no region has, also where it was answered before; ids go on.
func TestRegions_OneNameForTwo(t *testing.T) {
	s := regions(t)
	r := newResponder(t, func() *registry.View { return s.view })
	answer := func(label string) string {
		m := ask(t, r, question("web.service."+label+".sc.internal.", mdns.TypeA), viaUDP)
		if m.Rcode != mdns.RcodeSuccess {
			return mdns.RcodeToString[m.Rcode]
		}
		return addresses(m)
	}
	if got := answer("dc2"); got != "10.2.0.1" {
		t.Fatalf("before: %s", got)
	}
	s.region(2, "dc2")
	for label, want := range map[string]string{
		"dc2": "NXDOMAIN", "eu": "10.2.0.1",
		registry.RegionRecordKey([16]byte{3}).Name: "10.2.0.1", registry.RegionRecordKey([16]byte{2}).Name: "10.3.0.1",
	} {
		if got := answer(label); got != want {
			t.Errorf("%s: %s, want %s", label, got, want)
		}
	}
}

// DNS and the plan never part.
func TestRegions_AnswersAreThePlan(t *testing.T) {
	s := regions(t)
	r := newResponder(t, func() *registry.View { return s.view })
	for label, q := range map[string]plan.Query{"": {}, ".dc2": {Region: "dc2"}, ".global": {AllRegions: true}} {
		for _, service := range []string{"web", "db", "far", "down"} {
			q.Service = registry.ServiceOf("", "", service)
			p, _ := plan.For(s.view, nil, r.build.client, q)
			want := []string{}
			for _, tier := range p.Tiers {
				for e := range endpoints(tier) {
					want = append(want, fmt.Sprintf("%d %d %d", tier.Priority, e.Weight, e.Addr.Port()))
				}
			}
			have := []string{}
			for _, rr := range ask(t, r, question(service+".service"+label+".sc.internal.", mdns.TypeSRV), viaTCP).Answer {
				srv := rr.(*mdns.SRV)
				have = append(have, fmt.Sprintf("%d %d %d", srv.Priority, srv.Weight, srv.Port))
			}
			slices.Sort(want)
			slices.Sort(have)
			if !slices.Equal(have, want) {
				t.Errorf("%s%s: %q, the plan %q", service, label, have, want)
			}
		}
	}
}

// An answer is marked by the age of before its view was taken: what is heard of the region meanwhile makes no older copy new.
func TestRegions_AgesAreOfBeforeTheView(t *testing.T) {
	s, age := regions(t), time.Minute
	r := newResponder(t, func() *registry.View {
		age = 0
		return s.view
	})
	r.ages = func() func([16]byte) (time.Duration, bool) {
		before := age
		return func([16]byte) (time.Duration, bool) { return before, true }
	}
	m := question("web.service.dc2.sc.internal.", mdns.TypeA)
	m.SetEdns0(1232, false)
	for _, want := range []int{int(mdns.ExtendedErrorCodeStaleAnswer), -1} {
		if got := ask(t, r, m, viaUDP); stale(got) != want {
			t.Errorf("extended error %d, want %d", stale(got), want)
		}
	}
}
