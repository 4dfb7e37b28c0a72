package server

import (
	"context"
	"time"

	pb "supercluster/api/gen/supercluster/v1"
	"supercluster/internal/fault"
	"supercluster/registry/access"
)

// federationService shows and changes what this region exchanges with others. What it only shows comes from this node,
// except what the links know: that is asked of the node that leads, which holds them.
type federationService struct {
	pb.UnimplementedFederationServiceServer
	s *Server
}

// maxVerify bounds how long a verification may wait for channels to come to where their source is.
const maxVerify = 10 * time.Minute

// begin authorizes a call about a resource and gives the exchange with other regions. A region without an identity has
// none.
func (f federationService) begin(ctx context.Context, r access.Request) (*call, Federation, error) {
	c := callFrom(ctx)
	if err := decide(c, r); err != nil {
		return c, nil, err
	}
	if f.s.cfg.Federation == nil {
		return c, nil, fault.New(fault.Unsupported, "region %q has no identity, so it exchanges nothing with others", f.s.cfg.RegionName).
			WithHint("make one with `supercluster region init` and name it in the configuration, identity.dir; see docs/federation.md")
	}
	return c, f.s.cfg.Federation, nil
}

func (f federationService) GetFederation(ctx context.Context, req *pb.GetFederationRequest) (*pb.GetFederationResponse, error) {
	c, fed, err := f.begin(ctx, access.Request{Verb: access.VerbGet, Kind: access.KindFederation})
	if err != nil {
		return nil, err
	}
	resp := &pb.GetFederationResponse{}
	if f.s.askLeaderIfThere(ctx, c, req, resp) {
		return resp, nil
	}
	return fed.Status(ctx)
}

func (f federationService) ListPeers(ctx context.Context, req *pb.ListPeersRequest) (*pb.ListPeersResponse, error) {
	c, fed, err := f.begin(ctx, access.Request{Verb: access.VerbList, Kind: access.KindRegion})
	if err != nil {
		return nil, err
	}
	resp := &pb.ListPeersResponse{}
	if f.s.askLeaderIfThere(ctx, c, req, resp) {
		return resp, nil
	}
	resp.Peers, err = fed.Peers()
	return resp, err
}

func (f federationService) ListChannels(ctx context.Context, req *pb.ListChannelsRequest) (*pb.ListChannelsResponse, error) {
	c, fed, err := f.begin(ctx, access.Request{Verb: access.VerbList, Kind: access.KindFederation, Name: "channels"})
	if err != nil {
		return nil, err
	}
	resp := &pb.ListChannelsResponse{}
	if f.s.askLeaderIfThere(ctx, c, req, resp) {
		return resp, nil
	}
	resp.Channels, err = fed.ChannelList()
	return resp, err
}

func (f federationService) ListLinks(ctx context.Context, req *pb.ListLinksRequest) (*pb.ListLinksResponse, error) {
	c, fed, err := f.begin(ctx, access.Request{Verb: access.VerbList, Kind: access.KindFederation, Name: "links"})
	if err != nil {
		return nil, err
	}
	resp := &pb.ListLinksResponse{}
	if asked, err := f.s.askLeader(ctx, c, req, resp); asked || err != nil {
		return resp, err
	}
	return fed.Links(), nil
}

func (f federationService) Verify(ctx context.Context, req *pb.VerifyRequest) (*pb.VerifyResponse, error) {
	c, fed, err := f.begin(ctx, access.Request{Verb: access.VerbGet, Kind: access.KindFederation, Name: "verify"})
	if err != nil {
		return nil, err
	}
	timeout := req.GetTimeout().AsDuration()
	if timeout < 0 || timeout > maxVerify {
		return nil, fault.Field("timeout", "is %s; it is between 0 and %s", timeout, maxVerify)
	}
	if timeout > 0 {
		var cancel context.CancelFunc
		// The answer says which channels were late; a deadline would say only that some were.
		if ctx, cancel = withDefaultDeadline(ctx, timeout+askTimeout); cancel != nil {
			defer cancel()
		}
	}
	resp := &pb.VerifyResponse{}
	if asked, err := f.s.askLeader(ctx, c, req, resp); asked || err != nil {
		return resp, err
	}
	return fed.Verify(ctx, timeout)
}

func (f federationService) ListQuarantine(ctx context.Context, req *pb.ListQuarantineRequest) (*pb.ListQuarantineResponse, error) {
	_, fed, err := f.begin(ctx, access.Request{Verb: access.VerbList, Kind: access.KindFederation, Name: "quarantine"})
	if err != nil {
		return nil, err
	}
	return fed.Quarantine(int(req.GetLimit()))
}

func (f federationService) PutChannel(ctx context.Context, req *pb.PutChannelRequest) (*pb.PutChannelResponse, error) {
	c, fed, err := f.begin(ctx, access.Request{Verb: access.VerbPut, Kind: access.KindFederation, Name: req.GetChannel().GetName()})
	if err != nil {
		return nil, err
	}
	for _, region := range req.GetChannel().GetAudience() {
		if _, err := f.regionNamed(ctx, "channel.audience", region); err != nil {
			return nil, err
		}
	}
	channel, err := fed.SetChannel(ctx, req.GetChannel(), f.s.writeOf(ctx, c, nil).Writer)
	if err != nil {
		return nil, err
	}
	return &pb.PutChannelResponse{Channel: channel}, nil
}

func (f federationService) PutImport(ctx context.Context, req *pb.PutImportRequest) (*pb.PutImportResponse, error) {
	c, fed, err := f.begin(ctx, access.Request{Verb: access.VerbPut, Kind: access.KindFederation, Name: req.GetRegion()})
	if err != nil {
		return nil, err
	}
	if _, err := f.regionNamed(ctx, "region", req.GetRegion()); err != nil {
		return nil, err
	}
	if err := fed.Import(ctx, req.GetRegion(), req.GetSelector(), f.s.writeOf(ctx, c, nil).Writer); err != nil {
		return nil, err
	}
	return &pb.PutImportResponse{}, nil
}

func (f federationService) CreateInvitation(ctx context.Context, req *pb.CreateInvitationRequest) (*pb.CreateInvitationResponse, error) {
	c, fed, err := f.begin(ctx, access.Request{Verb: access.VerbCreate, Kind: access.KindRegion})
	if err != nil {
		return nil, err
	}
	resp := &pb.CreateInvitationResponse{}
	if asked, err := f.s.askLeader(ctx, c, req, resp); asked || err != nil {
		return resp, err
	}
	resp.Invitation, err = fed.Invite(ctx, req.GetLifetime().AsDuration(), f.s.writeOf(ctx, c, nil).Writer)
	return resp, err
}

func (f federationService) AcceptInvitation(ctx context.Context, req *pb.AcceptInvitationRequest) (*pb.AcceptInvitationResponse, error) {
	c, fed, err := f.begin(ctx, access.Request{Verb: access.VerbCreate, Kind: access.KindRegion, Name: req.GetInvitation().GetRegion()})
	if err != nil {
		return nil, err
	}
	resp := &pb.AcceptInvitationResponse{}
	asked, err := f.s.askLeader(ctx, c, req, resp)
	if err == nil && !asked {
		resp.Peer, err = fed.Accept(ctx, req.GetInvitation(), f.s.writeOf(ctx, c, nil).Writer)
	}
	if err != nil {
		return nil, err
	}
	f.settleRegion(ctx, resp.GetPeer().GetRegion().GetId(), true)
	return resp, nil
}

func (f federationService) RemovePeer(ctx context.Context, req *pb.RemovePeerRequest) (*pb.RemovePeerResponse, error) {
	c, fed, err := f.begin(ctx, access.Request{Verb: access.VerbDelete, Kind: access.KindRegion, Name: req.GetRegion()})
	if err != nil {
		return nil, err
	}
	region, err := f.regionNamed(ctx, "region", req.GetRegion())
	if err != nil {
		return nil, err
	}
	if region == f.s.cfg.Region.Status().RegionID {
		return nil, fault.Field("region", "%q is this region itself", req.GetRegion()).WithHint("name a peer: `supercluster region peer ls` lists them")
	}
	if err := fed.RemovePeer(ctx, idText(region), f.s.writeOf(ctx, c, nil).Writer); err != nil {
		return nil, err
	}
	f.settleRegion(ctx, idText(region), false)
	return &pb.RemovePeerResponse{}, nil
}

func (f federationService) RenameRegion(ctx context.Context, req *pb.RenameRegionRequest) (*pb.RenameRegionResponse, error) {
	c, fed, err := f.begin(ctx, access.Request{Verb: access.VerbAdmin, Kind: access.KindRegion, Name: req.GetName()})
	if err != nil {
		return nil, err
	}
	r, err := fed.Rename(ctx, req.GetName(), f.s.writeOf(ctx, c, nil).Writer)
	if err != nil {
		return nil, err
	}
	return &pb.RenameRegionResponse{Region: r}, nil
}

func (f federationService) SetRegionCost(ctx context.Context, req *pb.SetRegionCostRequest) (*pb.SetRegionCostResponse, error) {
	c, fed, err := f.begin(ctx, access.Request{Verb: access.VerbAdmin, Kind: access.KindRegion, Name: req.GetRegion()})
	if err != nil {
		return nil, err
	}
	var cost *time.Duration
	if req.GetCost() != nil {
		d := req.GetCost().AsDuration()
		cost = &d
	}
	costs, err := fed.SetCost(ctx, req.GetRegion(), cost, f.s.writeOf(ctx, c, nil).Writer)
	if err != nil {
		return nil, err
	}
	return &pb.SetRegionCostResponse{Costs: costs}, nil
}

func (f federationService) Unfence(ctx context.Context, _ *pb.UnfenceRequest) (*pb.UnfenceResponse, error) {
	c, fed, err := f.begin(ctx, access.Request{Verb: access.VerbAdmin, Kind: access.KindRegion, Name: "unfence"})
	if err != nil {
		return nil, err
	}
	incarnation, err := fed.Unfence(ctx, f.s.writeOf(ctx, c, nil).Writer)
	if err != nil {
		return nil, err
	}
	return &pb.UnfenceResponse{Incarnation: incarnation}, nil
}
