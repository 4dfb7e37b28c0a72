package server

import (
	"context"
	"crypto/rand"
	"errors"
	"math"
	"strings"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"
	"go.opentelemetry.io/otel/propagation"
	"google.golang.org/grpc/metadata"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"

	pb "supercluster/api/gen/supercluster/v1"
	"supercluster/federation"
	"supercluster/internal/fault"
	"supercluster/region/record"
	"supercluster/registry"
)

// Homes knows which region records belong to and asks other regions, as package federation does.
type Homes interface {
	// Self gives the id of this region and its incarnation.
	Self() (region [16]byte, incarnation uint64)
	// Life gives the incarnation of this region as the store of this node has it now, 0 while it exchanges nothing, and what is
	// closed when the next one begins.
	Life(ctx context.Context) (incarnation uint64, ended <-chan struct{}, err error)
	// Home gives the home of a placed record, FreshHome as the store of this node has it now, and Homes every home that
	// records with a prefix can have.
	Home(tenant, namespace uint32, name string) federation.Home
	FreshHome(tenant, namespace uint32, name string) (federation.Home, error)
	Homes(tenant, namespace uint32, prefix string) []federation.Home
	// Forward makes a call in another region and gives its encoded answer.
	Forward(ctx context.Context, region [16]byte, c *federation.ForwardedCall) ([]byte, error)
	// Await waits until what is here of a region covers a revision of it.
	Await(ctx context.Context, region [16]byte, incarnation, revision uint64, classes ...record.Class) error
	// Seen gives a revision that another region had reached when this one was at a revision; 0 when nobody knows.
	Seen(region [16]byte, here uint64) uint64
}

// forwardHeader with the value `never`, over HTTP and as gRPC metadata, has a call answered by this region or not at all.
const forwardHeader = "x-forward"

// awayError says that a call is to be made in another region.
type awayError struct {
	home   federation.Home
	placed placed
}

func (e *awayError) Error() string { return "the home is region " + e.home.Name }

// elsewhere decides, after a request was checked and before its handler runs, whether another region must answer: it does
// for writes to records that it is the home of, and for reads at level home. Whoever may not do it here does not get there.
func (s *Server) elsewhere(ctx context.Context, c *call) error {
	if s.cfg.Homes == nil {
		return nil
	}
	p, ok := placedOf(c.in.msg)
	if !ok || p.write == nil && consistencyOf(p.read) != pb.Consistency_CONSISTENCY_HOME {
		return nil
	}
	home, err := s.homeOf(c, &p)
	if err != nil || home.Here {
		return err
	}
	for _, r := range p.checks() {
		if err := decide(c, r); err != nil {
			return err
		}
	}
	switch {
	case c.forwarded():
		return notHome(&p, home, "the placements of the two regions differ: `supercluster placement ls` in both, then say the same in both; what was forwarded is not forwarded again")
	case p.write != nil && (!home.Known || c.stays(ctx)):
		return nil // the region refuses it, unless it is what stands in the way of the home's record
	case !home.Known:
		return notHome(&p, home, "it is no peer of this region")
	case c.stays(ctx):
		return notHome(&p, home, "ask there, or let this region ask")
	}
	return &awayError{home, p}
}

// forwarded reports whether the call was made in another region.
func (c *call) forwarded() bool { return c.http != nil && c.http.forwarded != nil }

// stays reports whether the caller wants no other region to be asked.
func (c *call) stays(ctx context.Context) bool {
	if c.http != nil {
		return strings.EqualFold(c.http.header.Get(forwardHeader), "never")
	}
	v := metadata.ValueFromIncomingContext(ctx, forwardHeader)
	return len(v) > 0 && strings.EqualFold(v[0], "never")
}

func notHome(p *placed, home federation.Home, hint string) error {
	if p.txn != nil {
		return fault.New(fault.NotHome, "the home of what the transaction is about is region %q", home.Name).WithHint("%s", hint)
	}
	return fault.New(fault.NotHome, "the home of %q is region %q", p.name, home.Name).WithHint("%s", hint)
}

// homeOf finds the one region that a request is for.
func (s *Server) homeOf(c *call, p *placed) (federation.Home, error) {
	here := federation.Home{Here: true, Known: true}
	v := s.cfg.Views.View()
	ns := registry.NamespaceOf(*p.tenant, *p.namespace)
	tenant, namespace, ok := v.NamespaceIDs(ns.Tenant, ns.Namespace)
	if !ok {
		return here, nil // the handler says what is wrong
	}
	if p.regional {
		if p.region == "" {
			return here, fault.Field("region", "is needed at level home: each region is the home of its own instances")
		}
		r, ok := v.RegionNamed(p.region)
		if !ok || r.IsLocal() {
			return here, nil
		}
		return federation.Home{Region: r.ID, Name: r.Name, Known: true}, nil
	}
	if p.prefix {
		homes := s.cfg.Homes.Homes(tenant, namespace, p.name)
		if len(homes) > 1 {
			return here, fault.Field("prefix", "what begins with %q has %d homes, %q and %q among them", p.name, len(homes), homes[0].Name, homes[1].Name).
				WithHint("ask for longer prefixes, each of one home")
		}
		return homes[0], nil
	}
	var home federation.Home
	names := p.names()
	for i, name := range names {
		h := s.cfg.Homes.Home(tenant, namespace, name)
		if i > 0 && h.Region != home.Region {
			return here, fault.New(fault.Invalid, "a transaction has one home: that of %q is region %q, that of %q region %q", names[0], home.Name, name, h.Name).
				WithHint("make one transaction for each")
		}
		home = h
	}
	if len(names) == 0 {
		return here, nil
	}
	return home, nil
}

// redirect answers a call that this region can not, by asking the one that can.
func (s *Server) redirect(ctx context.Context, c *call, err error) (any, error) {
	var away *awayError
	if errors.As(err, &away) {
		return s.forward(ctx, c, &away.placed, away.home)
	}
	p, ok := placedOf(c.in.msg)
	switch {
	case !ok:
		return nil, err
	case p.write != nil && fault.Is(err, fault.NotHome) && !c.forwarded():
		// What this node knew of homes was older than what the region does.
		v, ns := s.cfg.Views.View(), registry.NamespaceOf(*p.tenant, *p.namespace)
		tenant, namespace, _ := v.NamespaceIDs(ns.Tenant, ns.Namespace)
		var home federation.Home
		for _, name := range p.names() {
			h, herr := s.cfg.Homes.FreshHome(tenant, namespace, name)
			if herr != nil {
				return nil, err
			}
			if home = h; !h.Here {
				break
			}
		}
		if home.Here || !home.Known {
			return nil, err
		}
		if c.stays(ctx) || p.txn != nil {
			return nil, notHome(&p, home, "write it there, or let this region forward it")
		}
		return s.forward(ctx, c, &p, home)
	case p.read.GetForward() && errors.Is(err, errTooOld) && !c.forwarded() && !c.stays(ctx):
		home, herr := s.homeOf(c, &p)
		if herr != nil || home.Here || !home.Known {
			return nil, err
		}
		return s.forward(ctx, c, &p, home)
	}
	return nil, err
}

// forward makes a call in its home. It goes one hop: the home answers, or says that it is not the home.
func (s *Server) forward(ctx context.Context, c *call, p *placed, home federation.Home) (any, error) {
	v, ns := s.cfg.Views.View(), registry.NamespaceOf(*p.tenant, *p.namespace)
	tenant, _, _ := v.NamespaceIDs(ns.Tenant, ns.Namespace)
	request := proto.Clone(c.in.msg.(proto.Message))
	if there, _ := placedOf(request); there.write != nil {
		s.exactlyOnce(there.write, home)
	} else if err := linearizable(request); err != nil {
		return nil, err
	}
	body, err := proto.Marshal(request)
	if err != nil {
		return nil, fault.Wrap(fault.Internal, err, "the request does not encode")
	}
	call := &federation.ForwardedCall{
		Principal: c.principal.Name, Role: c.principal.Role.String(), RequestID: c.id(), Method: c.row.method, Request: body, Tenant: tenant,
	}
	if s.cfg.Tracer != nil {
		carrier := propagation.MapCarrier{}
		propagation.TraceContext{}.Inject(ctx, carrier)
		call.TraceParent = carrier.Get("traceparent")
	}
	began := time.Now()
	answer, err := s.cfg.Homes.Forward(ctx, home.Region, call)
	if p.write == nil && fault.Is(err, fault.OutcomeUnknown) {
		err = fault.Wrap(fault.Unavailable, err, "region %q did not answer", home.Name).
			WithHint("level local shows what is here of it, with its age")
	}
	s.forwards.count(ctx, home.Name, p.write != nil, err, time.Since(began))
	if err != nil {
		return nil, err
	}
	resp, err := answerOf(c.row.method, answer)
	if err != nil {
		return nil, err
	}
	if h, ok := resp.(interface{ GetHeader() *pb.WriteHeader }); ok && h.GetHeader() != nil {
		h.GetHeader().Forwarded = true
	}
	called(resp, ns.Tenant)
	return resp, nil
}

// exactlyOnce gives a write what makes it safe to send again: its request id, one of its own if the client brought none,
// and the revision of the home that had been seen when it was first sent.
func (s *Server) exactlyOnce(options **pb.WriteOptions, home federation.Home) {
	if *options == nil {
		*options = &pb.WriteOptions{}
	}
	o := *options
	if o.RequestId == "" {
		o.RequestId, o.SeenRevision = rand.Text(), math.MaxUint64 // no earlier try exists
	}
	o.SeenRevision = s.cfg.Homes.Seen(home.Region, o.SeenRevision)
}

// linearizable has a forwarded read answered by its home as of now.
func linearizable(request proto.Message) error {
	m := request.ProtoReflect()
	field := m.Descriptor().Fields().ByName("read")
	if field == nil {
		return fault.New(fault.Internal, "a read without options was to be forwarded")
	}
	m.Set(field, protoreflect.ValueOfMessage((&pb.ReadOptions{Consistency: pb.Consistency_CONSISTENCY_LINEARIZABLE}).ProtoReflect()))
	return nil
}

// answerOf decodes the answer of a method.
func answerOf(method string, body []byte) (proto.Message, error) {
	name := protoreflect.FullName(strings.ReplaceAll(strings.TrimPrefix(method, "/"), "/", "."))
	d, err := protoregistry.GlobalFiles.FindDescriptorByName(name)
	if err != nil {
		return nil, fault.Wrap(fault.Internal, err, "there is no method %s", method)
	}
	kind, err := protoregistry.GlobalTypes.FindMessageByName(d.(protoreflect.MethodDescriptor).Output().FullName())
	if err != nil {
		return nil, fault.Wrap(fault.Internal, err, "the answer of %s has no type", method)
	}
	resp := kind.New().Interface()
	if err := proto.Unmarshal(body, resp); err != nil {
		return nil, fault.Wrap(fault.Internal, err, "the answer of the home does not decode")
	}
	return resp, nil
}

// forwardMetrics counts calls between regions.
type forwardMetrics struct {
	out, in metric.Int64Counter
	seconds metric.Float64Histogram
}

func newForwardMetrics(meter metric.Meter) (m forwardMetrics, err error) {
	if m.out, err = meter.Int64Counter("supercluster.api.forwards",
		metric.WithDescription("Calls that were handed to another region, by home, kind and outcome.")); err != nil {
		return m, err
	}
	if m.in, err = meter.Int64Counter("supercluster.api.forwarded",
		metric.WithDescription("Calls that other regions handed to this one, by origin and outcome.")); err != nil {
		return m, err
	}
	m.seconds, err = meter.Float64Histogram("supercluster.api.forward.duration", metric.WithUnit("s"),
		metric.WithDescription("Time from handing a call to another region to its answer."))
	return m, err
}

func outcomeOf(err error) attribute.KeyValue {
	if err == nil {
		return attribute.String("outcome", "ok")
	}
	return attribute.String("outcome", kindOf(err).String())
}

func (m forwardMetrics) count(ctx context.Context, home string, write bool, err error, took time.Duration) {
	kind := "read"
	if write {
		kind = "write"
	}
	set := metric.WithAttributes(attribute.String("home", home), attribute.String("kind", kind), outcomeOf(err))
	m.out.Add(ctx, 1, set)
	m.seconds.Record(ctx, took.Seconds(), set)
}
