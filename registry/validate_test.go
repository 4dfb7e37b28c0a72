package registry

import (
	"strings"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/timestamppb"

	pb "supercluster/api/gen/supercluster/v1"
	"supercluster/internal/fault"
)

// wantFault checks kind, field and text of an error; an empty want is none.
func wantFault(t *testing.T, err error, kind fault.Kind, field, text string) {
	t.Helper()
	if text == "" {
		if err != nil {
			t.Fatalf("error %q, want none", err)
		}
		return
	}
	f, ok := fault.As(err)
	if !ok {
		t.Fatalf("error %v, want %q", err, text)
	}
	if f.Kind != kind || f.Field != field || !strings.Contains(f.Text(), text) {
		t.Fatalf("error %v of field %q: %q\nwant %v of field %q with %q", f.Kind, f.Field, f.Text(), kind, field, text)
	}
}

func TestRegisterOp_RefusesByField(t *testing.T) {
	long := strings.Repeat("x", 64)
	tests := []struct {
		name   string
		change func(*pb.Instance)
		field  string
		text   string
	}{
		{"port 70000", func(i *pb.Instance) { i.Port = 70000 }, "instance.port", "instance.port: 70000 is above 65535"},
		{"port 0", func(i *pb.Instance) { i.Port = 0 }, "instance.port", "0 is not a port"},
		{"named port 0", func(i *pb.Instance) { i.Ports = map[string]uint32{"a": 0} }, "instance.ports[a]", "0 is not a port"},
		{"named port 65536", func(i *pb.Instance) { i.Ports = map[string]uint32{"a": 65536} }, "instance.ports[a]", "above 65535"},
		{"name of a port", func(i *pb.Instance) { i.Ports = map[string]uint32{"A b": 1} }, "instance.ports", "not a DNS label"},
		{"no service", func(i *pb.Instance) { i.Service = "" }, "instance.service", "is empty"},
		{"service with NUL", func(i *pb.Instance) { i.Service = "we\x00b" }, "instance.service", "NUL byte"},
		{"service not UTF-8", func(i *pb.Instance) { i.Service = "we\xffb" }, "instance.service", "not valid UTF-8"},
		{"service with dots", func(i *pb.Instance) { i.Service = ".." }, "instance.service", "not a DNS label"},
		{"service in upper case", func(i *pb.Instance) { i.Service = "Web" }, "instance.service", `use "web"`},
		{"service too long", func(i *pb.Instance) { i.Service = long }, "instance.service", "64 bytes long, the limit is 63"},
		{"service with hyphen at the end", func(i *pb.Instance) { i.Service = "web-" }, "instance.service", "not a DNS label"},
		{"reserved global", func(i *pb.Instance) { i.Service = "global" }, "instance.service", "reserved word"},
		{"reserved ns", func(i *pb.Instance) { i.Service = "ns" }, "instance.service", "reserved word"},
		{"reserved service", func(i *pb.Instance) { i.Service = "service" }, "instance.service", "reserved word"},
		{"reserved namespace", func(i *pb.Instance) { i.Namespace = "ns" }, "instance.namespace", "reserved word"},
		{"id with slash", func(i *pb.Instance) { i.Id = "a/b" }, "instance.id", `contains "/"`},
		{"id with dots", func(i *pb.Instance) { i.Id = "a..b" }, "instance.id", "a path, not an id"},
		{"id dot", func(i *pb.Instance) { i.Id = "." }, "instance.id", "a path, not an id"},
		{"id with NUL", func(i *pb.Instance) { i.Id = "a\x00" }, "instance.id", "NUL byte"},
		{"id not UTF-8", func(i *pb.Instance) { i.Id = "\xc3" }, "instance.id", "not valid UTF-8"},
		{"id of letters", func(i *pb.Instance) { i.Id = "größe" }, "instance.id", `contains "ö"`},
		{"id too long", func(i *pb.Instance) { i.Id = strings.Repeat("a", 129) }, "instance.id", "the limit is 128"},
		{"no address", func(i *pb.Instance) { i.Address = "" }, "instance.address", "is empty"},
		{"host name", func(i *pb.Instance) { i.Address = "web.example" }, "instance.address", "is a host name"},
		{"localhost", func(i *pb.Instance) { i.Address = "localhost" }, "instance.address", "is a host name"},
		{"address with port", func(i *pb.Instance) { i.Address = "10.0.0.1:80" }, "instance.address", "has a port"},
		{"v6 with zone", func(i *pb.Instance) { i.Address = "fe80::1%eth0" }, "instance.address", "has a zone"},
		{"unspecified", func(i *pb.Instance) { i.Address = "0.0.0.0" }, "instance.address", "no address that clients can reach"},
		{"unspecified v6", func(i *pb.Instance) { i.Address = "::" }, "instance.address", "no address that clients can reach"},
		{"multicast", func(i *pb.Instance) { i.Address = "224.0.0.1" }, "instance.address", "not the address of one host"},
		{"broadcast", func(i *pb.Instance) { i.Address = "255.255.255.255" }, "instance.address", "not the address of one host"},
		{"not an address", func(i *pb.Instance) { i.Address = "10.0.0.1/8" }, "instance.address", "not an IP address"},
		{"zone with space", func(i *pb.Instance) { i.Zone = "a b" }, "instance.zone", "a space or a slash"},
		{"zone with newline", func(i *pb.Instance) { i.Zone = "a\n" }, "instance.zone", "control character"},
		{"weight", func(i *pb.Instance) { i.Weight = 65536 }, "instance.weight", "65536 is above 65535"},
		{"empty tag", func(i *pb.Instance) { i.Tags = []string{"a", ""} }, "instance.tags[1]", "is empty"},
		{"tag with NUL", func(i *pb.Instance) { i.Tags = []string{"\x00"} }, "instance.tags[0]", "NUL byte"},
		{"tags", func(i *pb.Instance) { i.Tags = make([]string, 33) }, "instance.tags", "33 tags, the limit is 32"},
		{"metadata key", func(i *pb.Instance) { i.Metadata = map[string]string{"": "x"} }, "instance.metadata", "empty key"},
		{"metadata value", func(i *pb.Instance) { i.Metadata = map[string]string{"k": "\xff"} }, "instance.metadata[k]", "not valid UTF-8"},
		{"tenant unknown", func(i *pb.Instance) { i.Tenant = "acme" }, "instance.tenant", "supercluster tenant create acme"},
		{"namespace unknown", func(i *pb.Instance) { i.Namespace = "shop" }, "instance.namespace", "supercluster namespace create shop --tenant default"},
		{"tenant malformed", func(i *pb.Instance) { i.Tenant = "a b" }, "instance.tenant", "not a DNS label"},
	}
	s := newStore(t)
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			in := web("a")
			tt.change(in)
			before := proto.CloneOf(in)
			_, _, err := RegisterOp(s.view, in, Write{})
			kind := fault.Invalid
			if strings.HasSuffix(tt.name, "unknown") {
				kind = fault.NotFound
			}
			wantFault(t, err, kind, tt.field, tt.text)
			if !proto.Equal(in, before) {
				t.Error("the request was changed")
			}
		})
	}
	if _, _, err := RegisterOp(s.view, nil, Write{}); !fault.Is(err, fault.Invalid) {
		t.Errorf("no instance: %v", err)
	}
	_, _, err := RegisterOp(s.view, web("a"), Write{RequestID: strings.Repeat("r", 65)})
	wantFault(t, err, fault.Invalid, "options.request_id", "65 bytes long")
}

func TestRegisterOp_Defaults(t *testing.T) {
	s := newStore(t)
	out := s.register(t, &pb.Instance{
		Service: "web", Address: "2001:DB8::1", Port: 8080, Tags: []string{"b", "a", "b"},
		Health: pb.Health_HEALTH_CRITICAL, Meta: &pb.Meta{Version: 9}, Region: "elsewhere", DrainUntil: timestamppb.Now(),
		Checks: []*pb.Check{
			{Type: pb.CheckType_CHECK_TYPE_TTL},
			{Type: pb.CheckType_CHECK_TYPE_HTTP},
			{Id: "fast", Type: pb.CheckType_CHECK_TYPE_TCP, Interval: durationpb.New(500 * time.Millisecond)},
		},
	})
	want := &pb.Instance{
		Tenant: "default", Namespace: "default", Service: "web", Id: "2001-db8--1-8080", Address: "2001:db8::1", Port: 8080,
		Weight: 100, Tags: []string{"a", "b"}, Region: testRegion,
		Checks: []*pb.Check{
			{
				Id: "fast", Type: pb.CheckType_CHECK_TYPE_TCP, Interval: durationpb.New(500 * time.Millisecond),
				Timeout: durationpb.New(500 * time.Millisecond), Rise: 1, Fall: 3,
			},
			{
				Id: "http", Type: pb.CheckType_CHECK_TYPE_HTTP, Path: "/", Interval: durationpb.New(2 * time.Second),
				Timeout: durationpb.New(time.Second), Rise: 1, Fall: 3,
			},
			{Id: "ttl", Type: pb.CheckType_CHECK_TYPE_TTL, Ttl: durationpb.New(15 * time.Second), Rise: 1, Fall: 1},
		},
	}
	if !proto.Equal(out, want) {
		t.Errorf("got  %v\nwant %v", out, want)
	}
	for address, id := range map[string]string{
		"10.0.0.1": "10.0.0.1-80", "::1": "1-80", "::ffff:10.0.0.1": "10.0.0.1-80", "1::": "1---80",
	} {
		if out := s.register(t, &pb.Instance{Service: "web", Address: address, Port: 80}); out.GetId() != id {
			t.Errorf("the default id of %s is %q, want %q", address, out.GetId(), id)
		}
	}
}

func TestRegisterOp_RefusesChecks(t *testing.T) {
	ms := func(n int) *durationpb.Duration { return durationpb.New(time.Duration(n) * time.Millisecond) }
	const http, tcp, grpc, ttl = pb.CheckType_CHECK_TYPE_HTTP, pb.CheckType_CHECK_TYPE_TCP, pb.CheckType_CHECK_TYPE_GRPC, pb.CheckType_CHECK_TYPE_TTL
	tests := []struct {
		name  string
		check *pb.Check
		field string // below instance.checks[1]
		text  string
	}{
		{"no type", &pb.Check{}, ".type", "use http, tcp, grpc or ttl"},
		{"unknown type", &pb.Check{Type: 99}, ".type", "99 is not a type of check"},
		{"id", &pb.Check{Type: tcp, Id: "A"}, ".id", "not a DNS label"},
		{"same id", &pb.Check{Type: tcp, Id: "first"}, ".id", `"first" is the id of instance.checks[0] too`},
		{"path", &pb.Check{Type: http, Path: "healthz"}, ".path", "does not begin with `/`"},
		{"path with newline", &pb.Check{Type: http, Path: "/\r\nX: y"}, ".path", "control character"},
		{"path with space", &pb.Check{Type: http, Path: "/a b"}, ".path", "write %20"},
		{"path of tcp", &pb.Check{Type: tcp, Path: "/"}, ".path", "belongs to http and grpc checks"},
		{"host of tcp", &pb.Check{Type: tcp, Host: "a"}, ".host", "belongs to http checks"},
		{"host", &pb.Check{Type: http, Host: "a\r\nb"}, ".host", "not a host"},
		{"port", &pb.Check{Type: tcp, Port: 70000}, ".port", "70000 is above 65535"},
		{"interval too short", &pb.Check{Type: tcp, Interval: ms(99)}, ".interval", "99ms is below 100ms"},
		{"interval too long", &pb.Check{Type: tcp, Interval: ms(3600_001)}, ".interval", "is above 1h0m0s"},
		{"interval malformed", &pb.Check{Type: tcp, Interval: &durationpb.Duration{Seconds: 1, Nanos: -1}}, ".interval", "not a duration"},
		{"timeout above interval", &pb.Check{Type: tcp, Interval: ms(200), Timeout: ms(201)}, ".timeout", "longer than the interval"},
		{"timeout zero", &pb.Check{Type: tcp, Timeout: ms(0)}, ".timeout", "0s is below 1ms"},
		{"rise", &pb.Check{Type: tcp, Rise: 11}, ".rise", "11 is above 10"},
		{"fall", &pb.Check{Type: tcp, Fall: 11}, ".fall", "11 is above 10"},
		{"ttl of tcp", &pb.Check{Type: tcp, Ttl: ms(1000)}, ".ttl", "belongs to ttl checks"},
		{"ttl too short", &pb.Check{Type: ttl, Ttl: ms(999)}, ".ttl", "below 1s"},
		{"ttl too long", &pb.Check{Type: ttl, Ttl: ms(86400_001)}, ".ttl", "above 24h"},
		{"interval of ttl", &pb.Check{Type: ttl, Interval: ms(1000)}, ".interval", "belongs to checks that probe"},
		{"path of ttl", &pb.Check{Type: ttl, Path: "/"}, ".path", "belongs to checks that probe"},
		{"fall of ttl", &pb.Check{Type: ttl, Fall: 2}, ".fall", "belongs to checks that probe"},
		{"grpc with a service", &pb.Check{Type: grpc, Path: "my.Service", Port: 9000}, "", ""},
		{"http with all", &pb.Check{Type: http, Path: "/h?x=1", Host: "shop.example:80", Timeout: ms(1)}, "", ""},
	}
	s := newStore(t)
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			in := web("a")
			in.Checks = []*pb.Check{{Type: tcp, Id: "first"}, tt.check}
			_, _, err := RegisterOp(s.view, in, Write{})
			wantFault(t, err, fault.Invalid, "instance.checks[1]"+tt.field, tt.text)
		})
	}
	in := web("a")
	in.Checks = make([]*pb.Check, 17)
	_, _, err := RegisterOp(s.view, in, Write{})
	wantFault(t, err, fault.Invalid, "instance.checks", "17 checks, the limit is 16")
}

func TestPutServiceOp_RefusesByField(t *testing.T) {
	tests := []struct {
		name  string
		in    *pb.Service
		field string
		text  string
	}{
		{"name", &pb.Service{Name: "ns"}, "service.name", "reserved word"},
		{"protocol", &pb.Service{Name: "a", Protocol: 9}, "service.protocol", "9 is not a protocol"},
		{"port name", &pb.Service{Name: "a", Ports: []*pb.Port{{Name: ""}}}, "service.ports[0].name", "is empty"},
		{"port twice", &pb.Service{Name: "a", Ports: []*pb.Port{{Name: "x"}, {Name: "x"}}}, "service.ports[1].name", "is the name of service.ports[0] too"},
		{"port", &pb.Service{Name: "a", Ports: []*pb.Port{{Name: "x", Port: 65536}}}, "service.ports[0].port", "above 65535"},
		{"port protocol", &pb.Service{Name: "a", Ports: []*pb.Port{{Name: "x", Protocol: -1}}}, "service.ports[0].protocol", "not a protocol"},
		{"ports", &pb.Service{Name: "a", Ports: make([]*pb.Port, 33)}, "service.ports", "33 ports"},
		{"metadata", &pb.Service{Name: "a", Metadata: map[string]string{"a\x00": ""}}, "service.metadata", "NUL"},
		{"tenant", &pb.Service{Name: "a", Tenant: "x"}, "service.tenant", "there is no tenant"},
		{"port by instance", &pb.Service{Name: "a", Ports: []*pb.Port{{Name: "x"}}}, "", ""},
		{"none", nil, "service", "is missing"},
	}
	s := newStore(t)
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			_, _, err := PutServiceOp(s.view, tt.in, 0, Write{})
			kind := fault.Invalid
			if tt.name == "tenant" {
				kind = fault.NotFound
			}
			wantFault(t, err, kind, tt.field, tt.text)
		})
	}
}

func TestPutRouteOp_RefusesByField(t *testing.T) {
	tests := []struct {
		name   string
		change func(*pb.Route)
		field  string
		text   string
	}{
		{"name", func(r *pb.Route) { r.Name = "a/b" }, "route.name", "not a DNS label"},
		{"no host", func(r *pb.Route) { r.Hosts = nil }, "route.hosts", "is empty"},
		{"empty host", func(r *pb.Route) { r.Hosts = []string{"a", ""} }, "route.hosts[1]", "is empty"},
		{"host with port", func(r *pb.Route) { r.Hosts = []string{"a.example:80"} }, "route.hosts[0]", "leave the port out"},
		{"host with star inside", func(r *pb.Route) { r.Hosts = []string{"a.*.example"} }, "route.hosts[0]", "not a host name"},
		{"host with star as part", func(r *pb.Route) { r.Hosts = []string{"*a.example"} }, "route.hosts[0]", "not a host name"},
		{"host with NUL", func(r *pb.Route) { r.Hosts = []string{"a\x00"} }, "route.hosts[0]", "NUL"},
		{"host twice", func(r *pb.Route) { r.Hosts = []string{"a.example", "A.Example."} }, "route.hosts[1]", "is route.hosts[0] too"},
		{"hosts", func(r *pb.Route) { r.Hosts = make([]string, 33) }, "route.hosts", "33 hosts"},
		{"prefix", func(r *pb.Route) { r.Prefix = "shop" }, "route.prefix", "does not begin with `/`"},
		{"prefix with query", func(r *pb.Route) { r.Prefix = "/a?b" }, "route.prefix", "only the path is compared"},
		{"prefix with dots", func(r *pb.Route) { r.Prefix = "/a/../b" }, "route.prefix", `the segment ".."`},
		{"prefix with newline", func(r *pb.Route) { r.Prefix = "/\n" }, "route.prefix", "control character"},
		{"service", func(r *pb.Route) { r.Service = "" }, "route.service", "is empty"},
		{"reserved service", func(r *pb.Route) { r.Service = "global" }, "route.service", "reserved"},
		{"port", func(r *pb.Route) { r.Port = "80 " }, "route.port", "not a DNS label"},
		{"fine", func(r *pb.Route) { r.Hosts = []string{"*", "*.Shop.example", "a_b.example", "10.0.0.1"} }, "", ""},
	}
	s := newStore(t)
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			in := &pb.Route{Name: "shop", Hosts: []string{"shop.example"}, Service: "web"}
			tt.change(in)
			_, out, err := PutRouteOp(s.view, in, 0, Write{})
			wantFault(t, err, fault.Invalid, tt.field, tt.text)
			if err == nil && (out.GetPrefix() != "/" || out.GetHosts()[1] != "*.shop.example" || in.GetHosts()[1] != "*.Shop.example") {
				t.Errorf("got %v of %v", out, in)
			}
		})
	}
}

func TestConfigName(t *testing.T) {
	for name, text := range map[string]string{
		"a": "", "app/db/url": "", "größe": "", "a b": "", "...": "",
		"":                       "is empty",
		"/a":                     "empty segment",
		"a/":                     "empty segment",
		"a//b":                   "empty segment",
		"a/../b":                 `the segment ".."`,
		"./a":                    `the segment "."`,
		"a\x00":                  "NUL",
		"a\xff":                  "UTF-8",
		"a\nb":                   "control character",
		strings.Repeat("x", 513): "the limit is 512",
	} {
		s := newStore(t)
		_, _, err := PutConfigOp(s.view, &pb.Config{Name: name}, Condition{}, Write{})
		wantFault(t, err, fault.Invalid, "config.name", text)
		_, err = DeleteConfigOp(s.view, ConfigKey{Name: name}, 0, Write{})
		wantFault(t, err, fault.Invalid, "name", text)
	}
}

func TestTenancy_RefusesByField(t *testing.T) {
	s := newStore(t)
	_, _, err := CreateTenantOp(&pb.Tenant{Name: "A"}, [16]byte{}, Write{})
	wantFault(t, err, fault.Invalid, "tenant.name", `use "a"`)
	_, _, err = CreateTenantOp(&pb.Tenant{Name: "a", Description: strings.Repeat("x", 1025)}, [16]byte{}, Write{})
	wantFault(t, err, fault.Invalid, "tenant.description", "limit is 1024")
	_, _, err = CreateNamespaceOp(s.view, &pb.Namespace{Name: "service"}, Write{})
	wantFault(t, err, fault.Invalid, "namespace.name", "reserved")
	_, _, err = CreateNamespaceOp(s.view, &pb.Namespace{Tenant: "nobody", Name: "a"}, Write{})
	wantFault(t, err, fault.NotFound, "namespace.tenant", "supercluster tenant create nobody")
	_, err = DeleteTenantOp("default", Write{})
	wantFault(t, err, fault.Invalid, "name", "stays")
	_, err = DeleteNamespaceOp(s.view, "", "default", Write{})
	wantFault(t, err, fault.Invalid, "name", "goes with it")
	_, err = DeleteNamespaceOp(s.view, "nobody", "a", Write{})
	wantFault(t, err, fault.NotFound, "tenant", "no tenant")
	for address, text := range map[string]string{
		"": "", "10.0.0.1:80": "", "[::1]:80": "", "n1.example:8502": "",
		"10.0.0.1": "host:port", "::1:80": "host:port", "a:": "host:port", "a:0": "host:port", "a:70000": "host:port", "[::1:80": "host:port",
		"a\n:80": "control",
	} {
		_, err = PutNodeOp(&pb.Node{Name: "n1", GrpcAddress: address}, Write{})
		wantFault(t, err, fault.Invalid, "node.grpc_address", text)
	}
}
