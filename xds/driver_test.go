package xds

import (
	"fmt"
	"hash/maphash"
	"log/slog"
	"slices"
	"strings"
	"time"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	discoveryv3 "github.com/envoyproxy/go-control-plane/envoy/service/discovery/v3"
	statuspb "google.golang.org/genproto/googleapis/rpc/status"
	"google.golang.org/grpc/mem"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/structpb"

	"supercluster/registry"
	"supercluster/xds/ir"
	"supercluster/xds/resources"
)

// Short names of the types, for scripts.
const (
	cds = resources.Cluster
	eds = resources.Endpoint
	lds = resources.Listener
	rds = resources.Route
)

// bench is a publisher and its world without a server: requests and responses are function calls, time is a number.
type bench struct {
	t        failer
	registry *registryOf
	world    *world
	pub      *publisher
	limits   Limits
	now      time.Time
}

func newBench(t failer, r *registryOf) *bench {
	t.Helper()
	b := &bench{t: t, registry: r, world: &world{}, limits: Limits{}.withDefaults(), now: time.Unix(1000, 0)}
	log := slog.New(slog.DiscardHandler)
	b.pub = newPublisher(b.world, "dc1", log, newStats(nil, &Server{log: log}))
	b.pub.apply(r.view, registry.Changes{All: true})
	r.pending = registry.Changes{}
	return b
}

// publish takes what was written to the registry to the streams.
func (b *bench) publish() {
	b.t.Helper()
	c := b.registry.pending
	b.registry.pending = registry.Changes{}
	b.pub.apply(b.registry.view, c)
}

// driver is a client of a session, at the level of messages.
type driver struct {
	*bench
	s     *session
	delta bool
	seed  maphash.Seed
	nonce [resources.Types]string   // of the last response received
	said  [resources.Types]string   // of the last response answered
	names [resources.Types][]string // what the client wants, in the state of the world
}

func node(role ir.Role) *corev3.Node {
	fields := map[string]*structpb.Value{
		resources.MetadataRole:   structpb.NewStringValue(string(role)),
		resources.MetadataListen: structpb.NewStringValue("127.0.0.1:10000"),
	}
	return &corev3.Node{Id: "test", Metadata: &structpb.Struct{Fields: fields}}
}

func (b *bench) connect(role ir.Role, delta bool) *driver {
	b.t.Helper()
	c, err := identify(node(role), &b.limits)
	if err != nil {
		b.t.Fatalf("identify: %v", err)
	}
	a, err := b.pub.attach(c)
	if err != nil {
		b.t.Fatalf("attach: %v", err)
	}
	return &driver{
		bench: b, delta: delta, seed: maphash.MakeSeed(),
		s: newSession(b.pub, a, c, delta, &b.limits, controlField(delta, "dc1/n1"), b.now),
	}
}

func (d *driver) disconnect() {
	d.s.close()
	d.s.release()
}

// answer is a decoded response.
type answer struct {
	kind    resources.Type
	url     string
	names   []string
	removed []string
	nonce   string
	version string
	bodies  map[string]proto.Message
	// versions are those of the resources; the delta protocol has them
	versions map[string]string
}

// String is one line: type, names, removed names after a dash.
func (a *answer) String() string {
	if a == nil {
		return "nothing"
	}
	text := a.kind.String() + " [" + strings.Join(a.names, " ") + "]"
	if len(a.removed) > 0 {
		text += " -[" + strings.Join(a.removed, " ") + "]"
	}
	return text
}

// next gives the next response, nil when there is none.
func (d *driver) next() *answer {
	d.t.Helper()
	r, _ := d.s.next(d.now)
	if r == nil {
		return nil
	}
	if got := r.data.Len(); got != r.bytes {
		d.t.Fatalf("a response of %d bytes says that it has %d", got, r.bytes)
	}
	var a *answer
	if d.delta {
		a = d.decodeDelta(r.data.Materialize())
	} else {
		a = d.decodeSotW(r.data.Materialize())
	}
	if t, ok := resources.TypeOf(a.url); ok {
		a.kind = t
		d.nonce[t] = a.nonce
	}
	slices.Sort(a.names)
	slices.Sort(a.removed)
	if len(slices.Compact(slices.Clone(a.names))) != len(a.names) {
		d.t.Fatalf("a resource twice in one response: %v", a.names)
	}
	return a
}

func (d *driver) decodeDelta(b []byte) *answer {
	d.t.Helper()
	var m discoveryv3.DeltaDiscoveryResponse
	if err := proto.Unmarshal(b, &m); err != nil {
		d.t.Fatalf("response: %v", err)
	}
	if m.GetControlPlane().GetIdentifier() != "dc1/n1" {
		d.t.Fatalf("control plane %v", m.GetControlPlane())
	}
	a := &answer{
		url: m.GetTypeUrl(), nonce: m.GetNonce(), version: m.GetSystemVersionInfo(),
		removed: m.GetRemovedResources(), bodies: map[string]proto.Message{}, versions: map[string]string{},
	}
	for _, r := range m.GetResources() {
		a.names = append(a.names, r.GetName())
		body, err := r.GetResource().UnmarshalNew()
		if err != nil || r.GetResource().GetTypeUrl() != a.url || r.GetVersion() == "" || nameOf(body) != r.GetName() {
			d.t.Fatalf("resource %v: %v", r, err)
		}
		a.bodies[r.GetName()] = body
		a.versions[r.GetName()] = r.GetVersion()
	}
	return a
}

func (d *driver) decodeSotW(b []byte) *answer {
	d.t.Helper()
	var m discoveryv3.DiscoveryResponse
	if err := proto.Unmarshal(b, &m); err != nil {
		d.t.Fatalf("response: %v", err)
	}
	if m.GetControlPlane().GetIdentifier() != "dc1/n1" {
		d.t.Fatalf("control plane %v", m.GetControlPlane())
	}
	a := &answer{url: m.GetTypeUrl(), nonce: m.GetNonce(), version: m.GetVersionInfo(), bodies: map[string]proto.Message{}}
	for _, r := range m.GetResources() {
		body, err := r.UnmarshalNew()
		if err != nil || r.GetTypeUrl() != a.url { // a Resource wrapper would be another type
			d.t.Fatalf("resource %v: %v", r, err)
		}
		a.names = append(a.names, nameOf(body))
		a.bodies[nameOf(body)] = body
	}
	return a
}

func nameOf(m proto.Message) string {
	switch m := m.(type) {
	case interface{ GetClusterName() string }:
		return m.GetClusterName()
	case interface{ GetName() string }:
		return m.GetName()
	default:
		return fmt.Sprintf("%T", m)
	}
}

// expect checks the next response, and that it is the only one if last.
func (d *driver) expect(want string) *answer {
	d.t.Helper()
	a := d.next()
	if got := a.String(); got != want {
		d.t.Fatalf("got %s, want %s", got, want)
	}
	return a
}

func (d *driver) nothing() {
	d.t.Helper()
	d.expect("nothing")
}

// expectAcked checks the next response and acknowledges it.
func (d *driver) expectAcked(want string) *answer {
	d.t.Helper()
	a := d.expect(want)
	d.ack(a.kind)
	return a
}

// deltaOption edits a delta request.
type deltaOption func(*discoveryv3.DeltaDiscoveryRequest)

func add(names ...string) deltaOption {
	return func(r *discoveryv3.DeltaDiscoveryRequest) { r.ResourceNamesSubscribe = names }
}

func drops(names ...string) deltaOption {
	return func(r *discoveryv3.DeltaDiscoveryRequest) { r.ResourceNamesUnsubscribe = names }
}

func has(versions map[string]string) deltaOption {
	return func(r *discoveryv3.DeltaDiscoveryRequest) { r.InitialResourceVersions = versions }
}

func nonce(n string) deltaOption {
	return func(r *discoveryv3.DeltaDiscoveryRequest) { r.ResponseNonce = n }
}

// send sends a delta request.
func (d *driver) send(t resources.Type, options ...deltaOption) {
	d.t.Helper()
	if err := d.trySend(t, options...); err != nil {
		d.t.Fatalf("request: %v", err)
	}
}

func (d *driver) trySend(t resources.Type, options ...deltaOption) error {
	req := &discoveryv3.DeltaDiscoveryRequest{TypeUrl: t.URL()}
	for _, o := range options {
		o(req)
	}
	return d.s.takeDelta(req, d.now)
}

// want sends a state-of-the-world request for exactly these names.
func (d *driver) want(t resources.Type, names ...string) {
	d.t.Helper()
	d.names[t] = names
	d.sotw(&discoveryv3.DiscoveryRequest{TypeUrl: t.URL(), ResourceNames: names, ResponseNonce: d.said[t]})
}

// sotw sends a request through the decoder that the server uses.
func (d *driver) sotw(req *discoveryv3.DiscoveryRequest) {
	d.t.Helper()
	if err := d.trySotW(req); err != nil {
		d.t.Fatalf("request: %v", err)
	}
}

func (d *driver) trySotW(req *discoveryv3.DiscoveryRequest) error {
	d.t.Helper()
	b, err := proto.Marshal(req)
	if err != nil {
		d.t.Fatalf("marshal: %v", err)
	}
	r := &sotwRequest{limit: 1 << 20, seed: d.seed, known: func(url string) (uint64, bool) {
		t, ok := resources.TypeOf(url)
		return d.s.watches[t].digest, ok && d.s.watches[t].requested
	}}
	if err := r.read(mem.BufferSlice{mem.SliceBuffer(b)}); err != nil {
		d.t.Fatalf("decode: %v", err)
	}
	return d.s.takeSotW(r, d.now)
}

// ack acknowledges the last response of a type, nack rejects it.
func (d *driver) ack(t resources.Type) { d.t.Helper(); d.reply(t, nil) }

func (d *driver) nack(t resources.Type) {
	d.t.Helper()
	d.reply(t, &statuspb.Status{Code: 13, Message: "no good"})
}

func (d *driver) reply(t resources.Type, failure *statuspb.Status) {
	d.t.Helper()
	d.said[t] = d.nonce[t]
	if d.delta {
		d.send(t, nonce(d.nonce[t]), func(r *discoveryv3.DeltaDiscoveryRequest) { r.ErrorDetail = failure })
		return
	}
	d.sotw(&discoveryv3.DiscoveryRequest{
		TypeUrl: t.URL(), ResourceNames: d.names[t], ResponseNonce: d.nonce[t], ErrorDetail: failure,
	})
}

// settle takes and acknowledges everything that is due.
func (d *driver) settle() {
	d.t.Helper()
	for a := d.next(); a != nil; a = d.next() {
		if _, ok := resources.TypeOf(a.url); ok {
			d.ack(a.kind)
		}
	}
}
