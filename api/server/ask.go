package server

import (
	"context"
	"time"

	"google.golang.org/protobuf/proto"

	pb "supercluster/api/gen/supercluster/v1"
	"supercluster/internal/fault"
	"supercluster/registry/access"
)

// askTimeout bounds a question to the node that leads whose caller set no end.
const askTimeout = 15 * time.Second

// leaderMethods are the methods that a node hands to the one that leads.
var leaderMethods = map[string]bool{
	pb.FederationService_GetFederation_FullMethodName:    true,
	pb.FederationService_ListPeers_FullMethodName:        true,
	pb.FederationService_ListLinks_FullMethodName:        true,
	pb.FederationService_ListChannels_FullMethodName:     true,
	pb.FederationService_Verify_FullMethodName:           true,
	pb.FederationService_CreateInvitation_FullMethodName: true,
	pb.FederationService_AcceptInvitation_FullMethodName: true,
	pb.FederationService_LinkTenant_FullMethodName:       true,
}

// askLeader has the node that leads answer a call, with the rights of its caller. false: that is this node, or the call
// came from another one; it is answered here. A call goes one hop.
func (s *Server) askLeader(ctx context.Context, c *call, req, resp proto.Message) (asked bool, err error) {
	leader := s.cfg.Region.Status().Leader
	switch {
	case c.asked || leader == s.cfg.Node:
		return false, nil
	case leader == "":
		return false, fault.New(fault.Unavailable, "no node of the region leads now, and the links to other regions are on the one that does").
			WithRetryAfter(time.Second)
	}
	ctx, cancel := withDefaultDeadline(ctx, askTimeout)
	if cancel != nil {
		defer cancel()
	}
	m := &pb.ForwardedCall{Principal: c.principal.Name, Role: c.principal.Role.String(), RequestId: c.id(), Method: c.row.method}
	if m.Request, err = proto.Marshal(req); err != nil {
		return false, fault.Wrap(fault.Internal, err, "the call cannot be handed to node %q", leader)
	}
	payload, err := proto.Marshal(m)
	if err != nil {
		return false, fault.Wrap(fault.Internal, err, "the call cannot be handed to node %q", leader)
	}
	answer, err := s.cfg.Region.Call(ctx, leader, MethodAsk, payload)
	if err != nil {
		return false, err
	}
	if err := proto.Unmarshal(answer, resp); err != nil {
		return false, fault.Wrap(fault.Internal, err, "node %q answered what does not decode", leader)
	}
	return true, nil
}

// askLeaderIfThere is askLeader for what this node can answer too, if less well.
func (s *Server) askLeaderIfThere(ctx context.Context, c *call, req, resp proto.Message) bool {
	asked, err := s.askLeader(ctx, c, req, resp)
	if err != nil {
		s.log.Debug("the node that leads does not answer; this one does", "method", c.row.method, "error", err)
	}
	return asked && err == nil
}

// HandleAsk answers a call that another node of the region hands to this one, because it leads. That node authenticated
// the caller, took its quota and logs the call; what the caller may do is decided here again.
func (s *Server) HandleAsk(ctx context.Context, from string, payload []byte) (answer []byte, err error) {
	m := &pb.ForwardedCall{}
	if err := proto.Unmarshal(payload, m); err != nil {
		return nil, fault.New(fault.Invalid, "a call of node %q does not decode", from)
	}
	u, ok := s.unaries[m.GetMethod()]
	role, known := access.RoleNamed(m.GetRole())
	if !ok || !known || !leaderMethods[m.GetMethod()] {
		return nil, fault.New(fault.Unsupported, "this node answers no call of %s for role %q", m.GetMethod(), m.GetRole()).
			WithHint("do the nodes run different versions?")
	}
	c := &call{
		row: u.row, principal: access.Principal{Name: m.GetPrincipal(), Role: role}, requestID: cleanRequestID(m.GetRequestId()),
		started: time.Now(), asked: true,
	}
	defer func() {
		if p := recover(); p != nil {
			answer, err = nil, s.recovered(c, p)
		}
	}()
	ctx, cancel := withDefaultDeadline(ctx, askTimeout)
	if cancel != nil {
		defer cancel()
	}
	resp, err := u.call(u.impl, context.WithValue(ctx, callKey{}, c), func(req any) error {
		c.in = envelope{msg: req, size: len(m.GetRequest()), err: proto.Unmarshal(m.GetRequest(), req.(proto.Message))}
		return s.check(c.row, &c.in)
	}, nil)
	if err != nil {
		return nil, err
	}
	return proto.Marshal(resp.(proto.Message))
}
