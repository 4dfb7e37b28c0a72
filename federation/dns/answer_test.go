package dns

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"

	mdns "github.com/miekg/dns"
	"go.opentelemetry.io/otel/metric/noop"

	pb "supercluster/api/gen/supercluster/v1"
	"supercluster/federation/plan"
	"supercluster/registry"
)

// example is a registry with a bit of everything.
func example(t testing.TB) *store {
	s := newStore(t)
	s.namespace("team-a")
	s.service(&pb.Service{
		Name: "web", Metadata: map[string]string{"owner": "shop", "long": strings.Repeat("x", 300)},
		Ports: []*pb.Port{{Name: "admin", Port: 9100}},
	})
	s.register(
		&pb.Instance{Service: "web", Id: "w1", Address: "10.0.0.1", Port: 9001, Tags: []string{"V1"}, Weight: 10, Metadata: map[string]string{"build": "7"}},
		&pb.Instance{Service: "web", Id: "w2", Address: "10.0.0.2", Port: 9002, Tags: []string{"v2"}},
		&pb.Instance{Service: "web", Id: "w3", Address: "10.0.0.2", Port: 9003, Tags: []string{"v2"}},
		&pb.Instance{Service: "web", Id: "w6", Address: "2001:db8::6", Port: 9006},
		&pb.Instance{
			Service: "web", Id: "sick", Address: "10.0.0.9", Port: 9009, Tags: []string{"old"},
			Checks: []*pb.Check{{Id: "tcp", Type: pb.CheckType_CHECK_TYPE_TCP}},
		},
		&pb.Instance{
			Service: "down", Id: "d1", Address: "10.0.1.1", Port: 80,
			Checks: []*pb.Check{{Id: "tcp", Type: pb.CheckType_CHECK_TYPE_TCP}},
		},
		&pb.Instance{Namespace: "team-a", Service: "web", Id: "a1", Address: "10.1.0.1", Port: 80, Tags: []string{"v1"}},
	)
	s.service(&pb.Service{Name: "planned"})
	return s
}

func newResponder(t testing.TB, view func() *registry.View) *responder {
	t.Helper()
	r := &responder{
		view: view, reach: func() *plan.Reach { return nil }, tenant: "default", servers: []netip.Addr{netip.MustParseAddr("192.0.2.53")},
		build: builder{client: plan.Client{Region: "dc1"}, ttl: 3}, cache: newCache(), metrics: newMetrics(noop.Meter{}),
	}
	for _, name := range []string{"sc.internal", "consul."} {
		z, err := newZone("domain", name)
		if err != nil {
			t.Fatal(err)
		}
		r.zones = append(r.zones, z)
	}
	return r
}

// ask answers a message and reads the answer with another implementation.
func ask(t testing.TB, r *responder, m *mdns.Msg, via transport) *mdns.Msg {
	t.Helper()
	packet, err := m.Pack()
	if err != nil {
		t.Fatal(err)
	}
	raw := r.answer(newScratch(), packet, via)
	if raw == nil {
		t.Fatal("no answer")
	}
	var out mdns.Msg
	if err := out.Unpack(raw); err != nil {
		t.Fatalf("the answer does not parse: %v\n%x", err, raw)
	}
	if out.Id != m.Id || !out.Response || out.RecursionAvailable || out.RecursionDesired != m.RecursionDesired {
		t.Errorf("header %+v for %+v", out.MsgHdr, m.MsgHdr)
	}
	return &out
}

func question(name string, kind uint16) *mdns.Msg {
	m := new(mdns.Msg)
	m.SetQuestion(name, kind)
	return m
}

// lines prints records for comparing: fields by one space, sorted, since answers are shuffled.
func lines(rrs []mdns.RR) []string {
	out := []string{}
	for _, rr := range rrs {
		if rr.Header().Rrtype != mdns.TypeOPT {
			out = append(out, strings.Join(strings.Fields(rr.String()), " "))
		}
	}
	slices.Sort(out)
	return out
}

func TestAnswers(t *testing.T) {
	s := example(t)
	r := newResponder(t, func() *registry.View { return s.view })
	soa := func(zone string) []string {
		return []string{fmt.Sprintf("%[1]s 3 IN SOA ns.%[1]s hostmaster.%[1]s %[2]d 3600 600 86400 3", zone, s.view.At().Data)}
	}
	ok, nx, refused := mdns.RcodeSuccess, mdns.RcodeNameError, mdns.RcodeRefused
	const domain = "sc.internal."
	srvOf := func(name string) []string {
		return []string{
			name + " 3 IN SRV 0 10 9001 0a000001.addr." + domain,
			name + " 3 IN SRV 0 100 9002 0a000002.addr." + domain,
			name + " 3 IN SRV 0 100 9003 0a000002.addr." + domain,
			name + " 3 IN SRV 0 100 9006 20010db8000000000000000000000006.addr." + domain,
		}
	}
	glue := []string{
		"0a000001.addr." + domain + " 3 IN A 10.0.0.1", "0a000002.addr." + domain + " 3 IN A 10.0.0.2",
		"20010db8000000000000000000000006.addr." + domain + " 3 IN AAAA 2001:db8::6",
	}
	webA := func(name string) []string { return []string{name + " 3 IN A 10.0.0.1", name + " 3 IN A 10.0.0.2"} }
	tests := []struct {
		name  string
		kind  uint16
		code  int
		want  []string
		extra []string
	}{
		{"web.service.sc.internal.", mdns.TypeA, ok, webA("web.service.sc.internal."), nil},
		{"web.service.consul.", mdns.TypeA, ok, webA("web.service.consul."), nil},
		{"wEb.SerVice.sc.INTERNAL.", mdns.TypeA, ok, webA("wEb.SerVice.sc.INTERNAL."), nil},
		{"web.service.sc.internal.", mdns.TypeAAAA, ok, []string{"web.service.sc.internal. 3 IN AAAA 2001:db8::6"}, nil},
		{"web.service.default.ns.sc.internal.", mdns.TypeA, ok, webA("web.service.default.ns.sc.internal."), nil},
		{"web.service.team-a.ns.sc.internal.", mdns.TypeA, ok, []string{"web.service.team-a.ns.sc.internal. 3 IN A 10.1.0.1"}, nil},
		{"v1.web.service.sc.internal.", mdns.TypeA, ok, []string{"v1.web.service.sc.internal. 3 IN A 10.0.0.1"}, nil},
		{"v1.web.service.team-a.ns.sc.internal.", mdns.TypeA, ok, []string{"v1.web.service.team-a.ns.sc.internal. 3 IN A 10.1.0.1"}, nil},
		{"web.service.sc.internal.", mdns.TypeSRV, ok, srvOf("web.service.sc.internal."), glue},
		{"_web._tcp.service.sc.internal.", mdns.TypeSRV, ok, srvOf("_web._tcp.service.sc.internal."), glue},
		{"_web._tcp.sc.internal.", mdns.TypeSRV, ok, srvOf("_web._tcp.sc.internal."), glue},
		{"_web._tcp.default.ns.sc.internal.", mdns.TypeSRV, ok, srvOf("_web._tcp.default.ns.sc.internal."), glue},
		{"_web._v1.service.sc.internal.", mdns.TypeSRV, ok, srvOf("_web._v1.service.sc.internal.")[:1], glue[:1]},
		{
			"_admin._tcp.web.service.sc.internal.", mdns.TypeSRV, ok,
			[]string{
				"_admin._tcp.web.service.sc.internal. 3 IN SRV 0 10 9100 0a000001.addr." + domain,
				"_admin._tcp.web.service.sc.internal. 3 IN SRV 0 100 9100 0a000002.addr." + domain,
				"_admin._tcp.web.service.sc.internal. 3 IN SRV 0 100 9100 20010db8000000000000000000000006.addr." + domain,
			},
			glue,
		},
		{
			"web.service.sc.internal.", mdns.TypeTXT, ok,
			[]string{
				`web.service.sc.internal. 3 IN TXT "build=7"`, `web.service.sc.internal. 3 IN TXT "owner=shop"`,
				`web.service.sc.internal. 3 IN TXT "tag=V1"`, `web.service.sc.internal. 3 IN TXT "tag=v2"`,
			},
			nil,
		},
		{"0a000001.addr.sc.internal.", mdns.TypeA, ok, []string{"0a000001.addr.sc.internal. 3 IN A 10.0.0.1"}, nil},
		{
			"20010db8000000000000000000000006.addr.sc.internal.", mdns.TypeAAAA, ok,
			[]string{"20010db8000000000000000000000006.addr.sc.internal. 3 IN AAAA 2001:db8::6"},
			nil,
		},
		{"sc.internal.", mdns.TypeSOA, ok, soa(domain), nil},
		{
			"sc.internal.", mdns.TypeNS, ok,
			[]string{"sc.internal. 3 IN NS ns.sc.internal."},
			[]string{"ns.sc.internal. 3 IN A 192.0.2.53"},
		},
		{"ns.sc.internal.", mdns.TypeA, ok, []string{"ns.sc.internal. 3 IN A 192.0.2.53"}, nil},

		// The name exists, without such records.
		{"web.service.sc.internal.", mdns.TypeMX, ok, nil, nil},
		{"down.service.sc.internal.", mdns.TypeA, ok, nil, nil},
		{"planned.service.sc.internal.", mdns.TypeA, ok, nil, nil},
		{"old.web.service.sc.internal.", mdns.TypeA, ok, nil, nil},
		{"0a000001.addr.sc.internal.", mdns.TypeAAAA, ok, nil, nil},
		{"sc.internal.", mdns.TypeA, ok, nil, nil},
		{"service.sc.internal.", mdns.TypeA, ok, nil, nil},
		{"addr.sc.internal.", mdns.TypeA, ok, nil, nil},
		{"ns.sc.internal.", mdns.TypeAAAA, ok, nil, nil},
		{"team-a.ns.sc.internal.", mdns.TypeA, ok, nil, nil},
		{"service.team-a.ns.sc.internal.", mdns.TypeA, ok, nil, nil},
		{"_tcp.service.sc.internal.", mdns.TypeA, ok, nil, nil},
		{"_tcp.web.service.sc.internal.", mdns.TypeSRV, ok, nil, nil},

		// The name does not exist.
		{"none.service.sc.internal.", mdns.TypeA, nx, nil, nil},
		{"none.service.consul.", mdns.TypeA, nx, nil, nil},
		{"v9.web.service.sc.internal.", mdns.TypeA, nx, nil, nil},
		{"_none._tcp.web.service.sc.internal.", mdns.TypeSRV, nx, nil, nil},
		{"_tcp.none.service.sc.internal.", mdns.TypeA, nx, nil, nil},
		{"web.service.none.ns.sc.internal.", mdns.TypeA, nx, nil, nil},
		{"none.ns.sc.internal.", mdns.TypeA, nx, nil, nil},
		{"service.none.ns.sc.internal.", mdns.TypeA, nx, nil, nil},
		{"web.service.dc2.sc.internal.", mdns.TypeA, nx, nil, nil},
		{"web.sc.internal.", mdns.TypeA, nx, nil, nil},
		{"a.b.web.service.sc.internal.", mdns.TypeA, nx, nil, nil},
		{"zz000001.addr.sc.internal.", mdns.TypeA, nx, nil, nil},
		{"0a0001.addr.sc.internal.", mdns.TypeA, nx, nil, nil},
		{"x.0a000001.addr.sc.internal.", mdns.TypeA, nx, nil, nil},
		{"_._tcp.service.sc.internal.", mdns.TypeSRV, nx, nil, nil},

		// Not ours to answer.
		{"web.service.example.org.", mdns.TypeA, refused, nil, nil},
		{"internal.", mdns.TypeA, refused, nil, nil},
		{"xsc.internal.", mdns.TypeA, refused, nil, nil},
		{`x\002sc.internal.`, mdns.TypeA, refused, nil, nil},
		{".", mdns.TypeNS, refused, nil, nil},
		{"web.service.sc.internal.", mdns.TypeANY, refused, nil, nil},
		{"sc.internal.", mdns.TypeAXFR, refused, nil, nil},
		{"sc.internal.", mdns.TypeIXFR, refused, nil, nil},
	}
	for _, tt := range tests {
		t.Run(tt.name+"/"+mdns.TypeToString[tt.kind], func(t *testing.T) {
			m := question(tt.name, tt.kind)
			m.SetEdns0(4096, false)
			for _, round := range []string{"built", "cached"} {
				got := ask(t, r, m, viaUDP)
				if got.Rcode != tt.code || got.Truncated {
					t.Errorf("%s: code %s, truncated %v, want %s", round, mdns.RcodeToString[got.Rcode], got.Truncated, mdns.RcodeToString[tt.code])
				}
				if got.Authoritative != (tt.code != refused) {
					t.Errorf("%s: authoritative = %v", round, got.Authoritative)
				}
				if got.Question[0] != m.Question[0] {
					t.Errorf("%s: question %v, want it as it was: %v", round, got.Question, m.Question)
				}
				if have := lines(got.Answer); !slices.Equal(have, append([]string{}, tt.want...)) {
					t.Errorf("%s: answer\n%s\nwant\n%s", round, strings.Join(have, "\n"), strings.Join(tt.want, "\n"))
				}
				if have := lines(got.Extra); !slices.Equal(have, append([]string{}, tt.extra...)) {
					t.Errorf("%s: additional\n%s\nwant\n%s", round, strings.Join(have, "\n"), strings.Join(tt.extra, "\n"))
				}
				var authority []string
				if tt.code != refused && len(tt.want) == 0 {
					authority = soa(domain)
					if strings.HasSuffix(tt.name, "consul.") {
						authority = soa("consul.")
					}
				}
				if have := lines(got.Ns); !slices.Equal(have, append([]string{}, authority...)) {
					t.Errorf("%s: authority %q, want %q", round, have, authority)
				}
			}
		})
	}
}

// TestAnswers_FollowTheView: what changes shows in the next answer, whatever was cached.
func TestAnswers_FollowTheView(t *testing.T) {
	s := example(t)
	r := newResponder(t, func() *registry.View { return s.view })
	m := question("down.service.sc.internal.", mdns.TypeA)
	if got := ask(t, r, m, viaUDP); len(got.Answer) != 0 {
		t.Fatalf("before the first success: %v", got.Answer)
	}
	s.health("down", "d1", "tcp", pb.Health_HEALTH_PASSING)
	if got := ask(t, r, m, viaUDP); len(got.Answer) != 1 {
		t.Fatalf("passing: %v", got.Answer)
	}
	s.health("down", "d1", "tcp", pb.Health_HEALTH_CRITICAL)
	if got := ask(t, r, m, viaUDP); len(got.Answer) != 1 || got.Answer[0].Header().Ttl != passingTTL {
		t.Fatalf("critical, so the last known one: %v", got)
	}
	closed, _, err := registry.PutServiceOp(s.view, &pb.Service{Name: "down", FailClosed: true}, 0, registry.Write{})
	if err != nil {
		t.Fatal(err)
	}
	s.apply(closed)
	if got := ask(t, r, m, viaUDP); len(got.Answer) != 0 || got.Rcode != mdns.RcodeSuccess {
		t.Fatalf("critical and fail-closed: %v", got)
	}
	undefined, err := registry.DeleteServiceOp(s.view, registry.ServiceOf("", "", "down"), 0, registry.Write{})
	if err != nil {
		t.Fatal(err)
	}
	s.apply(undefined)
	op, err := registry.DeregisterOp(s.view, registry.ServiceOf("", "", "down").Instance("d1"), registry.Write{})
	if err != nil {
		t.Fatal(err)
	}
	s.apply(op)
	if got := ask(t, r, m, viaUDP); got.Rcode != mdns.RcodeNameError {
		t.Fatalf("deregistered: %v", got)
	}
}

// TestAnswers_BeforeTheFirstView: not knowing is not the same as knowing that there is none.
func TestAnswers_BeforeTheFirstView(t *testing.T) {
	r := newResponder(t, func() *registry.View { return registry.Empty("dc1") })
	if got := ask(t, r, question("web.service.sc.internal.", mdns.TypeA), viaUDP); got.Rcode != mdns.RcodeServerFailure {
		t.Errorf("code %s, want SERVFAIL", mdns.RcodeToString[got.Rcode])
	}
}

func TestAnswers_Shuffled(t *testing.T) {
	s := newStore(t)
	const n = 5
	for i := range n {
		s.register(&pb.Instance{Service: "web", Id: fmt.Sprint(i), Address: fmt.Sprintf("10.0.0.%d", i+1), Port: 80})
	}
	r := newResponder(t, func() *registry.View { return s.view })
	first := map[string]int{}
	const asked = 2000
	for range asked {
		got := ask(t, r, question("web.service.sc.internal.", mdns.TypeA), viaUDP)
		first[got.Answer[0].(*mdns.A).A.String()]++
	}
	for addr, times := range first {
		if times < asked/n/2 || times > asked/n*2 {
			t.Errorf("%s came first %d times of %d, want about %d", addr, times, asked, asked/n)
		}
	}
	if len(first) != n {
		t.Errorf("%d addresses ever came first, want %d", len(first), n)
	}
}

func TestMessages(t *testing.T) {
	s := example(t)
	r := newResponder(t, func() *registry.View { return s.view })
	const web = "web.service.sc.internal."
	tests := []struct {
		name string
		edit func(*mdns.Msg)
		code int
	}{
		{"plain", func(*mdns.Msg) {}, mdns.RcodeSuccess},
		{"no recursion desired", func(m *mdns.Msg) { m.RecursionDesired = false }, mdns.RcodeSuccess},
		{"chaos class", func(m *mdns.Msg) { m.Question[0].Qclass = mdns.ClassCHAOS }, mdns.RcodeRefused},
		{"any class", func(m *mdns.Msg) { m.Question[0].Qclass = mdns.ClassANY }, mdns.RcodeRefused},
		{"notify", func(m *mdns.Msg) { m.Opcode = mdns.OpcodeNotify }, mdns.RcodeNotImplemented},
		{"update", func(m *mdns.Msg) { m.Opcode = mdns.OpcodeUpdate }, mdns.RcodeNotImplemented},
		{"no question", func(m *mdns.Msg) { m.Question = nil }, mdns.RcodeFormatError},
		{"two questions", func(m *mdns.Msg) { m.Question = append(m.Question, m.Question[0]) }, mdns.RcodeFormatError},
		{"an answer in a query", func(m *mdns.Msg) { m.Answer = []mdns.RR{txt(web)} }, mdns.RcodeFormatError},
		{"a stray additional record", func(m *mdns.Msg) { m.Extra = []mdns.RR{txt(web)} }, mdns.RcodeSuccess},
		{"EDNS 0", func(m *mdns.Msg) { m.SetEdns0(1232, true) }, mdns.RcodeSuccess},
		{"EDNS 1", func(m *mdns.Msg) { m.SetEdns0(1232, false); m.IsEdns0().SetVersion(1) }, mdns.RcodeBadVers},
		{"two OPT", func(m *mdns.Msg) { m.SetEdns0(1232, false); m.Extra = append(m.Extra, m.Extra[0]) }, mdns.RcodeFormatError},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			m := question(web, mdns.TypeA)
			tt.edit(m)
			got := ask(t, r, m, viaUDP)
			if got.Rcode != tt.code {
				t.Errorf("code %s, want %s", mdns.RcodeToString[got.Rcode], mdns.RcodeToString[tt.code])
			}
			if wantsOPT := m.IsEdns0() != nil; wantsOPT != (got.IsEdns0() != nil) {
				t.Errorf("OPT in the answer: %v", got.IsEdns0())
			} else if wantsOPT && (got.IsEdns0().UDPSize() != maxUDP || got.IsEdns0().Do() != m.IsEdns0().Do()) {
				t.Errorf("OPT %v", got.IsEdns0())
			}
		})
	}
}

func txt(name string) mdns.RR {
	return &mdns.TXT{Hdr: mdns.RR_Header{Name: name, Rrtype: mdns.TypeTXT, Class: mdns.ClassINET}, Txt: []string{"x"}}
}

// TestPackets_Ignored: what is not a query gets no answer, so that two servers cannot be made to talk to each other.
func TestPackets_Ignored(t *testing.T) {
	r := newResponder(t, func() *registry.View { return registry.Empty("dc1") })
	m := question("web.service.sc.internal.", mdns.TypeA)
	m.Response = true
	answer, err := m.Pack()
	if err != nil {
		t.Fatal(err)
	}
	for _, packet := range [][]byte{nil, {1}, make([]byte, 11), answer} {
		if out := r.answer(newScratch(), packet, viaUDP); out != nil {
			t.Errorf("%x was answered: %x", packet, out)
		}
	}
}

func TestZones_Refused(t *testing.T) {
	for _, name := range []string{"", ".", "a..b", "a b", "-ü.example", strings.Repeat("a", 64) + ".org", strings.Repeat("a.", 70) + "org"} {
		if z, err := newZone("dns.domain", name); err == nil {
			t.Errorf("newZone(%q) = %q", name, z.wire)
		}
	}
}
