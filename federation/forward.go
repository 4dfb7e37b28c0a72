package federation

import (
	"context"
	"time"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/durationpb"

	pb "supercluster/api/gen/supercluster/v1"
	"supercluster/internal/fault"
	"supercluster/region/record"
	"supercluster/region/state"
)

// MethodForward is the method of the node channel by which a node hands a call to the leader, which holds the links.
const MethodForward uint8 = 4

// ForwardedCall is a call that was made in another region and is of this one. It goes one hop: who is not the home answers
// so and never forwards again.
type ForwardedCall struct {
	Origin      [16]byte // region in which it was made
	OriginName  string   // set by the home
	Principal   string
	Role        string
	RequestID   string
	Method      string // full gRPC method
	Request     []byte // encoded request
	TraceParent string // W3C trace context; empty without one
	// Tenant is the tenant that the request is about: at the origin by its number there, at the home by the number of the
	// one that is linked to it.
	Tenant  uint32
	Timeout time.Duration // how much longer the caller waits; 0: it did not say
}

// Forward makes a call in another region: over its link if this node holds it, else by the node that does. It gives the
// encoded answer.
func (f *Federation) Forward(ctx context.Context, region [16]byte, c *ForwardedCall) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, hopTime(ctx))
	defer cancel()
	body, err := f.encodeForward(ctx, c)
	if err != nil {
		return nil, err
	}
	if leads, _ := f.cfg.Store.Leads(); leads {
		return f.forwardHere(ctx, region, body)
	}
	leader := f.cfg.Store.Leader()
	if leader == "" || leader == f.cfg.Node {
		return nil, fault.New(fault.Unavailable, "no node of this region holds the links now; try again")
	}
	reply, err := f.cfg.Store.Call(ctx, leader, MethodForward, append(region[:], body...))
	switch fault.KindOf(err) {
	case fault.Deadline, fault.Canceled:
		if err != nil {
			return nil, fault.Wrap(fault.OutcomeUnknown, err, "the node that holds the links did not answer in time").
				WithHint("retry with the same request id, or read to find out")
		}
	}
	if err != nil {
		return nil, err
	}
	a := decodeAnswer(reply)
	return a.body, a.err
}

// hopTime is how long a hop may take: a tenth of the caller's time is left to tell it what happened.
func hopTime(ctx context.Context) time.Duration {
	deadline, ok := ctx.Deadline()
	if !ok {
		return callTimeout
	}
	left := time.Until(deadline)
	return min(left-min(left/10, 250*time.Millisecond), callTimeout)
}

func (f *Federation) encodeForward(ctx context.Context, c *ForwardedCall) ([]byte, error) {
	m := &pb.ForwardedCall{
		Principal: c.Principal, Role: c.Role, RequestId: c.RequestID, Method: c.Method, Request: c.Request, TraceParent: c.TraceParent,
	}
	if deadline, ok := ctx.Deadline(); ok {
		m.Timeout = durationpb.New(time.Until(deadline))
	}
	err := f.pinned(func(r state.Reader) error {
		uid, err := tenantUID(r, c.Tenant)
		m.Tenant = uid[:]
		return err
	})
	if err != nil {
		return nil, err
	}
	return marshal(m)
}

// tenantUID gives the id by which a tenant goes between regions.
func tenantUID(r state.Reader, tenant uint32) (uid [16]byte, err error) {
	err = state.EachFederated(r, func(t, _ uint32, s *record.FederatedNamespace) error {
		if t == tenant {
			uid = s.Tenant
		}
		return nil
	})
	return uid, err
}

func (f *Federation) forwardHere(ctx context.Context, region [16]byte, body []byte) ([]byte, error) {
	f.mu.Lock()
	u := f.uplinks[region]
	f.mu.Unlock()
	if u == nil {
		return nil, unreachable(f.book.name(region), nil)
	}
	return u.forward(ctx, body)
}

// HandleForward answers a node that does not hold the links.
func (f *Federation) HandleForward(ctx context.Context, _ string, payload []byte) ([]byte, error) {
	if len(payload) < 16 {
		return nil, fault.New(fault.Invalid, "a forwarded call names no region")
	}
	var region [16]byte
	copy(region[:], payload)
	body, err := f.forwardHere(ctx, region, payload[16:])
	return encodeAnswer(0, body, err)[1:], nil
}

// answerForward runs a call of a peer, by the rules of this region.
func (f *Federation) answerForward(ctx context.Context, from [16]byte, payload []byte) ([]byte, error) {
	if f.cfg.Forward == nil {
		return nil, fault.New(fault.Unsupported, "this region takes no calls of others")
	}
	defer f.forward.Add(-1)
	if f.forward.Add(1) > maxForwards {
		return nil, fault.New(fault.Busy, "region %q works on %d calls of other regions, the limit", f.book.name(f.book.self), maxForwards).
			WithRetryAfter(100 * time.Millisecond)
	}
	m := &pb.ForwardedCall{}
	if err := proto.Unmarshal(payload, m); err != nil || len(m.GetTenant()) != 16 {
		return nil, fault.New(fault.Invalid, "a forwarded call does not parse")
	}
	tenant, err := f.linkedTenant(from, [16]byte(m.GetTenant()))
	if err != nil {
		return nil, err
	}
	timeout := m.GetTimeout().AsDuration()
	if timeout > 0 {
		if m.GetSent() != 0 {
			timeout -= time.Duration(f.ages.stamp() - m.GetSent())
		}
		if timeout <= 0 {
			return nil, fault.New(fault.Unavailable, "the call reached region %q when its caller no longer waited; nothing was done", f.book.name(f.book.self))
		}
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, timeout)
		defer cancel()
	}
	return f.cfg.Forward(ctx, &ForwardedCall{
		Origin: from, OriginName: f.book.name(from), Principal: m.GetPrincipal(), Role: m.GetRole(), RequestID: m.GetRequestId(),
		Method: m.GetMethod(), Request: m.GetRequest(), TraceParent: m.GetTraceParent(), Tenant: tenant, Timeout: timeout,
	})
}

// linkedTenant finds the tenant of this region that a tenant of a peer is linked to.
func (f *Federation) linkedTenant(from, uid [16]byte) (tenant uint32, err error) {
	err = f.pinned(func(r state.Reader) error {
		alias, _, _, err := state.FindRegion(r, from)
		if err != nil {
			return err
		}
		links, err := state.Links(r, alias)
		for _, l := range links {
			if l.Remote == uid {
				tenant = l.Tenant
			}
		}
		return err
	})
	if err == nil && tenant == 0 {
		err = fault.New(fault.Denied, "region %q has linked none of its tenants to the one that region %q asks about",
			f.book.name(f.book.self), f.book.name(from)).WithHint("link them there: supercluster tenant link --help")
	}
	return tenant, err
}

// tenants lists the tenants of this region, for a peer that wants to link one.
func (f *Federation) tenants() ([]byte, error) {
	list := &pb.ListTenantsResponse{}
	err := f.pinned(func(r state.Reader) error {
		return state.Load(r, []record.Kind{record.KindTenant}, func(rec record.Record) error {
			t := &pb.Tenant{}
			if proto.Unmarshal(rec.Value, t) == nil {
				list.Tenants = append(list.Tenants, &pb.Tenant{Name: t.GetName(), Uid: t.GetUid()})
			}
			return nil
		})
	})
	if err != nil {
		return nil, err
	}
	return marshal(list)
}

// Tenants asks a peer for its tenants.
func (f *Federation) Tenants(ctx context.Context, region [16]byte) (*pb.ListTenantsResponse, error) {
	list := &pb.ListTenantsResponse{}
	body, err := f.ask(ctx, region, callTenants)
	if err != nil {
		return nil, err
	}
	if err := proto.Unmarshal(body, list); err != nil {
		return nil, fault.New(fault.Invalid, "the peer's list of tenants does not parse")
	}
	return list, nil
}

// ask makes a call without a payload, on the node that holds the links.
func (f *Federation) ask(ctx context.Context, region [16]byte, method uint8) ([]byte, error) {
	f.mu.Lock()
	u := f.uplinks[region]
	f.mu.Unlock()
	if u == nil {
		return nil, fault.New(fault.Unavailable, "there is no link to region %s on this node", f.book.name(region)).
			WithHint("ask the node that leads: `supercluster members` names it")
	}
	return u.call(ctx, method, nil)
}
