package server

import (
	"context"
	"net/http"

	"google.golang.org/protobuf/proto"

	"supercluster/api/status"
	"supercluster/federation"
	"supercluster/internal/fault"
	"supercluster/registry/access"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"
)

// Forwarded runs a call that was made in another region, by the rules of this one: its own decision about the caller, its
// validation, its quotas. It is never forwarded again.
func (s *Server) Forwarded(ctx context.Context, f *federation.ForwardedCall) ([]byte, error) {
	answer, err := s.serveForwarded(ctx, f)
	s.forwards.in.Add(ctx, 1, metric.WithAttributes(attribute.String("origin", f.OriginName), outcomeOf(err)))
	return answer, err
}

func (s *Server) serveForwarded(ctx context.Context, f *federation.ForwardedCall) ([]byte, error) {
	u, ok := s.unaries[f.Method]
	if !ok {
		return nil, fault.New(fault.Unsupported, "there is no method %s in region %q", f.Method, s.cfg.RegionName)
	}
	p, err := s.forwardedPrincipal(f)
	if err != nil {
		return nil, err
	}
	header := http.Header{}
	if f.TraceParent != "" {
		header.Set("Traceparent", f.TraceParent)
	}
	h := &httpCall{requestID: cleanRequestID(f.RequestID), header: header, forwarded: &p}
	resp, err := s.serveUnary(ctx, u, func(e *envelope) error {
		e.size = len(f.Request)
		m, ok := e.msg.(proto.Message)
		if !ok {
			return fault.New(fault.Unsupported, "%s is not forwarded", f.Method)
		}
		e.err = proto.Unmarshal(f.Request, m)
		if e.err != nil {
			return nil // the check says so
		}
		return s.tenantHere(m, f)
	}, h)
	if err != nil {
		return nil, status.FromGRPC(err)
	}
	answer, err := proto.Marshal(resp.(proto.Message))
	if err != nil {
		return nil, fault.Wrap(fault.Internal, err, "the answer does not encode")
	}
	return answer, nil
}

// tenantHere gives a request the name that the tenant has here. Only what belongs to one region is forwarded.
func (s *Server) tenantHere(m proto.Message, f *federation.ForwardedCall) error {
	p, ok := placedOf(m)
	if !ok {
		return fault.New(fault.Unsupported, "%s is not forwarded", f.Method)
	}
	for t := range s.cfg.Views.View().Tenants() {
		if t.GetId() == f.Tenant {
			*p.tenant = t.GetName()
			return nil
		}
	}
	return fault.New(fault.NotFound, "the tenant that region %q asks about is gone", f.OriginName)
}

// forwardedPrincipal says who a caller of another region is here: the name is marked with the region.
func (s *Server) forwardedPrincipal(f *federation.ForwardedCall) (access.Principal, error) {
	if s.cfg.ForwardedRole == nil {
		return access.Principal{}, fault.New(fault.Unsupported, "this region takes no calls of others")
	}
	claimed, _ := access.RoleNamed(f.Role)
	p := access.Principal{Name: f.Principal + "@" + f.OriginName, Role: s.cfg.ForwardedRole(f.OriginName, f.Principal, claimed)}
	if p.Role == access.RoleAnonymous {
		return p, fault.New(fault.Denied, "region %q knows no role of %q", s.cfg.RegionName, p.Name).
			WithHint("list %q, or %q for everybody of that region, among its operators or readers", p.Name, "*@"+f.OriginName)
	}
	return p, nil
}

// ForwardedAs gives the role function of a region whose listeners ask for certificates: who is listed as NAME@REGION, or
// as *@REGION, has the role of the list, but never more than its own region gives.
func ForwardedAs(operators, readers []string) func(region, name string, claimed access.Role) access.Role {
	listed := map[string]access.Role{}
	for _, n := range readers {
		listed[n] = access.RoleReader
	}
	for _, n := range operators {
		listed[n] = access.RoleOperator
	}
	return func(region, name string, claimed access.Role) access.Role {
		return min(max(listed[name+"@"+region], listed["*@"+region]), claimed)
	}
}

// ForwardedUpTo gives the role function of a region without certificates: the other region decides, up to a role.
func ForwardedUpTo(most access.Role) func(region, name string, claimed access.Role) access.Role {
	return func(_, _ string, claimed access.Role) access.Role { return min(claimed, most) }
}
