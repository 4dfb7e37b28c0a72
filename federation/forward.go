package federation

import (
	"context"

	"google.golang.org/protobuf/proto"

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
	Origin    [16]byte // region in which it was made
	Principal string
	Role      string
	RequestID string
	Method    string // full gRPC method
	Request   []byte // encoded request
}

// Forward makes a call in another region: over its link if this node holds it, else by the node that does. It gives the
// encoded answer, and the home's position in it is the caller's session token.
func (f *Federation) Forward(ctx context.Context, region [16]byte, c *ForwardedCall) ([]byte, error) {
	body, err := marshal(&pb.ForwardedCall{
		Principal: c.Principal, Role: c.Role, RequestId: c.RequestID, Method: c.Method, Request: c.Request,
	})
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
	if err != nil {
		return nil, err
	}
	a := decodeAnswer(reply)
	return a.body, a.err
}

func (f *Federation) forwardHere(ctx context.Context, region [16]byte, body []byte) ([]byte, error) {
	f.mu.Lock()
	u := f.uplinks[region]
	f.mu.Unlock()
	if u == nil {
		return nil, fault.New(fault.Unavailable, "there is no link to region %s", f.book.name(region)).
			WithHint("`supercluster federation links` says why")
	}
	return u.call(ctx, callForward, body)
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
	m := &pb.ForwardedCall{}
	if err := proto.Unmarshal(payload, m); err != nil {
		return nil, fault.New(fault.Invalid, "a forwarded call does not parse")
	}
	return f.cfg.Forward(ctx, &ForwardedCall{
		Origin: from, Principal: m.GetPrincipal(), Role: m.GetRole(), RequestID: m.GetRequestId(),
		Method: m.GetMethod(), Request: m.GetRequest(),
	})
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
