package server

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/durationpb"

	pb "supercluster/api/gen/supercluster/v1"
	"supercluster/federation"
	"supercluster/internal/fault"
	"supercluster/region/record"
	"supercluster/registry"
	"supercluster/registry/access"
)

// fakeFederation remembers what it was asked for. It knows this region, dc1 with id 1, and one peer, dc2 with id 2.
type fakeFederation struct {
	node    string
	secret  []byte
	asked   []string
	links   map[uint32][16]byte // tenant -> uid of the peer's
	removed bool
}

func (f *fakeFederation) note(format string, args ...any) {
	f.asked = append(f.asked, fmt.Sprintf(format, args...))
}

func (f *fakeFederation) Status(context.Context) (*pb.GetFederationResponse, error) {
	return &pb.GetFederationResponse{Fingerprint: f.node, Fence: pb.Fence_FENCE_NONE}, nil
}

func (f *fakeFederation) Peers() ([]*pb.Peer, error) {
	return []*pb.Peer{{Region: &pb.Region{Name: "dc2"}, Link: f.node}}, nil
}

func (f *fakeFederation) Links() *pb.ListLinksResponse { return &pb.ListLinksResponse{Node: f.node} }

func (f *fakeFederation) ChannelList() ([]*pb.ChannelStatus, error) {
	return []*pb.ChannelStatus{{Region: "dc2", Via: f.node}}, nil
}

func (f *fakeFederation) Verify(_ context.Context, timeout time.Duration) (*pb.VerifyResponse, error) {
	f.note("verify %s", timeout)
	return &pb.VerifyResponse{Equal: true, Results: []*pb.VerifyResult{{Region: f.node}}}, nil
}

func (f *fakeFederation) Quarantine(limit int) (*pb.ListQuarantineResponse, error) {
	return &pb.ListQuarantineResponse{Total: uint64(limit)}, nil
}

func (f *fakeFederation) SetChannel(_ context.Context, c *pb.Channel, w record.Writer) (*pb.Channel, error) {
	f.note("channel %s %v by %s", c.GetClass(), c.GetAudience(), w.Actor)
	c.Id = 7
	return c, nil
}

func (f *fakeFederation) Import(_ context.Context, region string, terms []*pb.Term, w record.Writer) error {
	f.note("import %s %d by %s", region, len(terms), w.Actor)
	return nil
}

func (f *fakeFederation) Invite(_ context.Context, lifetime time.Duration, w record.Writer) (*pb.Invitation, error) {
	f.note("invite %s by %s", lifetime, w.Actor)
	return &pb.Invitation{RegionId: idText([16]byte{1}), Secret: f.secret}, nil
}

func (f *fakeFederation) Accept(_ context.Context, inv *pb.Invitation, w record.Writer) (*pb.Peer, error) {
	f.note("accept %s by %s", inv.GetRegion(), w.Actor)
	if inv.GetRegion() == "" {
		return nil, fault.New(fault.Denied, "the invitation was used").WithHint("make another")
	}
	return &pb.Peer{Region: &pb.Region{Id: idText([16]byte{2}), Name: "dc2"}}, nil
}

func (f *fakeFederation) RemovePeer(_ context.Context, name string, w record.Writer) error {
	f.note("remove %s by %s", name, w.Actor)
	f.removed = true
	return nil
}

func (f *fakeFederation) Rename(_ context.Context, name string, w record.Writer) (*pb.Region, error) {
	f.note("rename %s by %s", name, w.Actor)
	return &pb.Region{Name: name}, nil
}

func (f *fakeFederation) Unfence(_ context.Context, w record.Writer) (uint64, error) {
	f.note("unfence by %s", w.Actor)
	return 3, nil
}

func (f *fakeFederation) SetCost(_ context.Context, name string, cost *time.Duration, w record.Writer) ([]*pb.RegionCost, error) {
	if cost == nil {
		f.note("cost of %s as measured by %s", name, w.Actor)
		return nil, nil
	}
	f.note("cost of %s %v by %s", name, *cost, w.Actor)
	return []*pb.RegionCost{{Region: name, Cost: durationpb.New(*cost)}}, nil
}

func (f *fakeFederation) AwaitRegion(_ context.Context, region [16]byte, known bool) error {
	f.note("await %x %v", region[:1], known)
	return nil
}

func (f *fakeFederation) RegionID(name string) ([16]byte, error) {
	switch {
	case name == "dc1":
		return [16]byte{1}, nil
	case (name == "dc2" || name == idText([16]byte{2})) && !f.removed:
		return [16]byte{2}, nil
	}
	return [16]byte{}, fault.New(fault.NotFound, "there is no region %q", name)
}

func (f *fakeFederation) Tenants(context.Context, [16]byte) (*pb.ListTenantsResponse, error) {
	f.note("tenants at %s", f.node)
	return &pb.ListTenantsResponse{Tenants: []*pb.Tenant{{Name: "shop", Uid: idText([16]byte{0xee})}}}, nil
}

func (f *fakeFederation) LinkTenant(_ context.Context, region, remote [16]byte, tenant uint32, w record.Writer) error {
	f.note("link %d %x to %d by %s", region[0], remote[0], tenant, w.Actor)
	return nil
}

func (f *fakeFederation) Linked(_ [16]byte, tenant uint32) ([16]byte, bool, error) {
	remote, found := f.links[tenant]
	return remote, found, nil
}

func (f *fakeFederation) Place(_ context.Context, t federation.Tenant, namespace uint32, p *pb.Placement, removed bool, w record.Writer) (*pb.Placement, error) {
	f.note("place %s/%d %s/%d %q at %q removed %v by %s, uid %v", t.Name, t.ID, p.GetNamespace(), namespace, p.GetPrefix(), p.GetHome(), removed, w.Actor, t.UID != [16]byte{})
	if p.GetPrefix() == "nowhere/" {
		return nil, fault.New(fault.NotFound, "nothing is placed there")
	}
	return p, nil
}

func (f *fakeFederation) Placements(tenantOf func(uint32) string) ([]*pb.Placement, error) {
	return []*pb.Placement{{Tenant: tenantOf(1), Home: "dc2"}, {Tenant: tenantOf(99)}}, nil
}

func (h *harness) federation() pb.FederationServiceClient {
	return pb.NewFederationServiceClient(h.conn)
}

func withFederation(t testing.TB, change ...func(*Config)) (*harness, *fakeFederation) {
	t.Helper()
	f := &fakeFederation{node: "n1", secret: []byte("canary-of-the-invitation")}
	return newHarness(t, append([]func(*Config){func(c *Config) { c.Federation = f }}, change...)...), f
}

// wantAsked checks what the fake was asked for since the last time.
func (f *fakeFederation) wantAsked(t testing.TB, want ...string) {
	t.Helper()
	if !slices.Equal(f.asked, want) {
		t.Errorf("asked for %q, want %q", f.asked, want)
	}
	f.asked = nil
}

func TestFederation_WithoutIdentity(t *testing.T) {
	h := newHarness(t)
	for _, r := range methodTable {
		if !strings.Contains(r.method, "FederationService/") {
			continue
		}
		_, err := h.unaries[r.method].call(h.unaries[r.method].impl, devContext(t), func(any) error { return nil }, nil)
		if e := wantFault(t, err, fault.Unsupported, ""); !strings.Contains(e.Hint, "supercluster region init") || !strings.Contains(e.Hint, "docs/federation.md") {
			t.Errorf("%s: hint %q", r.method, e.Hint)
		}
	}
}

func TestFederation_Calls(t *testing.T) {
	h, f := withFederation(t)
	c, ctx := h.federation(), t.Context()
	if got, err := c.GetFederation(ctx, &pb.GetFederationRequest{}); err != nil || got.GetFence() != pb.Fence_FENCE_NONE {
		t.Error(got, err)
	}
	if got, err := c.Verify(ctx, &pb.VerifyRequest{Timeout: durationpb.New(time.Second)}); err != nil || !got.GetEqual() {
		t.Error(got, err)
	}
	_, err := c.Verify(ctx, &pb.VerifyRequest{Timeout: durationpb.New(time.Hour)})
	wantFault(t, err, fault.Invalid, "timeout")
	if got, err := c.ListQuarantine(ctx, &pb.ListQuarantineRequest{Limit: 5}); err != nil || got.GetTotal() != 5 {
		t.Error(got, err)
	}
	f.wantAsked(t, "verify 1s")

	if got, err := c.PutChannel(ctx, &pb.PutChannelRequest{Channel: &pb.Channel{Class: "config", Audience: []string{"dc2"}}}); err != nil || got.GetChannel().GetId() != 7 {
		t.Error(got, err)
	}
	_, err = c.PutChannel(ctx, &pb.PutChannelRequest{Channel: &pb.Channel{Class: "config", Audience: []string{"dc9"}}})
	wantFault(t, err, fault.NotFound, "channel.audience")
	_, err = c.PutChannel(ctx, &pb.PutChannelRequest{})
	wantFault(t, err, fault.Invalid, "channel")
	if _, err := c.PutImport(ctx, &pb.PutImportRequest{Region: "dc2", Selector: []*pb.Term{{Kind: "config"}}}); err != nil {
		t.Error(err)
	}
	_, err = c.PutImport(ctx, &pb.PutImportRequest{Region: "dc9"})
	wantFault(t, err, fault.NotFound, "region")
	f.wantAsked(t, "channel config [dc2] by dev", "import dc2 1 by dev")

	if got, err := c.CreateInvitation(ctx, &pb.CreateInvitationRequest{Lifetime: durationpb.New(time.Minute)}); err != nil || got.GetInvitation().GetRegionId() == "" {
		t.Error(got, err)
	}
	if got, err := c.AcceptInvitation(ctx, &pb.AcceptInvitationRequest{Invitation: &pb.Invitation{Region: "dc2"}}); err != nil || got.GetPeer().GetRegion().GetName() != "dc2" {
		t.Error(got, err)
	}
	_, err = c.AcceptInvitation(ctx, &pb.AcceptInvitationRequest{Invitation: &pb.Invitation{}})
	wantFault(t, err, fault.Denied, "")
	if got, err := c.RenameRegion(ctx, &pb.RenameRegionRequest{Name: "eu"}); err != nil || got.GetRegion().GetName() != "eu" {
		t.Error(got, err)
	}
	_, err = c.RenameRegion(ctx, &pb.RenameRegionRequest{Name: "E U"})
	wantFault(t, err, fault.Invalid, "name")
	if got, err := c.SetRegionCost(ctx, &pb.SetRegionCostRequest{Region: "dc2", Cost: durationpb.New(30 * time.Millisecond)}); err != nil || len(got.GetCosts()) != 1 {
		t.Error(got, err)
	}
	if got, err := c.SetRegionCost(ctx, &pb.SetRegionCostRequest{Region: "dc2"}); err != nil || len(got.GetCosts()) != 0 {
		t.Error(got, err)
	}
	_, err = c.SetRegionCost(ctx, &pb.SetRegionCostRequest{Region: "dc2", Cost: durationpb.New(time.Minute)})
	wantFault(t, err, fault.Invalid, "cost")
	if got, err := c.Unfence(ctx, &pb.UnfenceRequest{}); err != nil || got.GetIncarnation() != 3 {
		t.Error(got, err)
	}
	_, err = c.RemovePeer(ctx, &pb.RemovePeerRequest{Region: "dc1"})
	wantFault(t, err, fault.Invalid, "region")
	_, err = c.RemovePeer(ctx, &pb.RemovePeerRequest{Region: "dc9"})
	wantFault(t, err, fault.NotFound, "region")
	if _, err := c.RemovePeer(ctx, &pb.RemovePeerRequest{Region: "dc2"}); err != nil {
		t.Error(err)
	}
	f.wantAsked(t, "invite 1m0s by dev", "accept dc2 by dev", "await 02 true", "accept  by dev", "rename eu by dev", "cost of dc2 30ms by dev", "cost of dc2 as measured by dev", "unfence by dev", "remove "+idText([16]byte{2})+" by dev", "await 02 false")
}

func TestFederation_LinkTenant(t *testing.T) {
	h, f := withFederation(t)
	c, ctx := h.federation(), t.Context()
	made, err := h.tenants.CreateTenant(ctx, &pb.CreateTenantRequest{Tenant: &pb.Tenant{Name: "web"}})
	if err != nil {
		t.Fatal(err)
	}
	id := made.GetTenant().GetId()
	link := func(r *pb.LinkTenantRequest) error {
		_, err := c.LinkTenant(ctx, r)
		return err
	}
	for _, r := range []*pb.LinkTenantRequest{
		{Tenant: "web", Region: "dc2", Remote: "shop"},
		{Tenant: "web", Region: idText([16]byte{2}), Remote: idText([16]byte{0xaa})},
		{Tenant: "web", Region: "dc2", Remote: idText([16]byte{0xaa}), Remove: true},
	} {
		if err := link(r); err != nil {
			t.Error(r, err)
		}
	}
	f.links = map[uint32][16]byte{id: {0xbb}}
	if err := link(&pb.LinkTenantRequest{Tenant: "web", Region: "dc2", Remove: true}); err != nil {
		t.Error(err)
	}
	f.wantAsked(t, "tenants at n1", fmt.Sprintf("link 2 ee to %d by dev", id), fmt.Sprintf("link 2 aa to %d by dev", id), "link 2 aa to 0 by dev", "link 2 bb to 0 by dev")

	e := wantFault(t, link(&pb.LinkTenantRequest{Tenant: "web", Region: "dc2", Remote: "nobody"}), fault.NotFound, "remote")
	if !strings.Contains(e.Hint, "shop") {
		t.Errorf("hint %q does not say which there are", e.Hint)
	}
	wantFault(t, link(&pb.LinkTenantRequest{Tenant: "web", Region: "dc2"}), fault.Invalid, "remote")
	wantFault(t, link(&pb.LinkTenantRequest{Tenant: "nobody", Region: "dc2", Remote: "shop"}), fault.NotFound, "tenant")
	wantFault(t, link(&pb.LinkTenantRequest{Tenant: "web", Region: "dc9", Remote: "shop"}), fault.NotFound, "region")
	wantFault(t, link(&pb.LinkTenantRequest{Tenant: "default", Region: "dc2", Remove: true}), fault.NotFound, "")
}

func TestFederation_Placements(t *testing.T) {
	h, f := withFederation(t)
	c, ctx := h.federation(), t.Context()
	put := func(p *pb.Placement) error {
		_, err := c.PutPlacement(ctx, &pb.PutPlacementRequest{Placement: p})
		return err
	}
	if err := put(&pb.Placement{Home: "dc2"}); err != nil {
		t.Error(err)
	}
	wantFault(t, put(&pb.Placement{}), fault.Invalid, "placement.home")
	wantFault(t, put(&pb.Placement{Home: "dc9"}), fault.NotFound, "placement.home")
	wantFault(t, put(&pb.Placement{Tenant: "nobody", Home: "dc2"}), fault.NotFound, "placement.tenant")
	wantFault(t, put(&pb.Placement{Namespace: "none", Home: "dc2"}), fault.NotFound, "placement.namespace")
	if _, err := c.DeletePlacement(ctx, &pb.DeletePlacementRequest{Prefix: "app/"}); err != nil {
		t.Error(err)
	}
	_, err := c.DeletePlacement(ctx, &pb.DeletePlacementRequest{Prefix: "nowhere/"})
	if e := wantFault(t, err, fault.NotFound, ""); !strings.Contains(e.Hint, "namespace federate default") {
		t.Errorf("hint %q", e.Hint)
	}
	f.wantAsked(t,
		`place default/1 default/1 "" at "dc2" removed false by dev, uid true`,
		`place default/1 default/1 "app/" at "" removed true by dev, uid true`,
		`place default/1 default/1 "nowhere/" at "" removed true by dev, uid true`)
	got, err := c.ListPlacements(ctx, &pb.ListPlacementsRequest{})
	if err != nil || len(got.GetPlacements()) != 2 || got.GetPlacements()[0].GetTenant() != "default" {
		t.Error(got, err)
	}
	got, err = c.ListPlacements(ctx, &pb.ListPlacementsRequest{Tenant: "default"})
	if err != nil || len(got.GetPlacements()) != 1 {
		t.Error(got, err)
	}
	_, err = c.ListPlacements(ctx, &pb.ListPlacementsRequest{Tenant: "nobody"})
	wantFault(t, err, fault.NotFound, "tenant")
}

// What the links know is answered by the node that leads, with the rights of the caller and never over two hops.
func TestFederation_AsksTheLeader(t *testing.T) {
	leading, there := withFederation(t)
	there.node = "n2"
	role := access.RoleOperator
	h, here := withFederation(t, func(c *Config) {
		c.Principal = func(context.Context) (access.Principal, error) { return access.Principal{Name: "ada", Role: role}, nil }
	})
	h.region.leader, h.region.ask = "n2", leading.HandleAsk
	leading.region.leader = "n3" // the leader changed meanwhile: it answers what it can
	c, ctx := h.federation(), t.Context()

	links, err := c.ListLinks(ctx, &pb.ListLinksRequest{})
	if err != nil || links.GetNode() != "n2" {
		t.Error(links, err)
	}
	status, err := c.GetFederation(ctx, &pb.GetFederationRequest{})
	if err != nil || status.GetFingerprint() != "n2" {
		t.Error(status, err)
	}
	channels, err := c.ListChannels(ctx, &pb.ListChannelsRequest{})
	if err != nil || channels.GetChannels()[0].GetVia() != "n2" {
		t.Error(channels, err)
	}
	peers, err := c.ListPeers(ctx, &pb.ListPeersRequest{})
	if err != nil || peers.GetPeers()[0].GetLink() != "n2" {
		t.Error(peers, err)
	}
	if _, err := c.Verify(ctx, &pb.VerifyRequest{Timeout: durationpb.New(2 * time.Second)}); err != nil {
		t.Error(err)
	}
	if got, err := c.CreateInvitation(ctx, &pb.CreateInvitationRequest{}); err != nil || !bytes.Equal(got.GetInvitation().GetSecret(), there.secret) {
		t.Error(got, err)
	}
	_, err = c.AcceptInvitation(ctx, &pb.AcceptInvitationRequest{Invitation: &pb.Invitation{}})
	if e := wantFault(t, err, fault.Denied, ""); e.Hint != "make another" {
		t.Errorf("the error lost its hint on the way: %+v", e)
	}
	if _, err := c.LinkTenant(ctx, &pb.LinkTenantRequest{Tenant: "default", Region: "dc2", Remote: "shop"}); err != nil {
		t.Error(err)
	}
	there.wantAsked(t, "verify 2s", "invite 0s by ada", "accept  by ada", "tenants at n2", "link 2 ee to 1 by ada")
	if _, err := c.LinkTenant(ctx, &pb.LinkTenantRequest{Tenant: "default", Region: "dc2", Remote: idText([16]byte{0xaa})}); err != nil {
		t.Error(err)
	}
	here.wantAsked(t, "link 2 aa to 1 by ada")

	role = access.RoleReader
	_, err = c.CreateInvitation(ctx, &pb.CreateInvitationRequest{})
	wantFault(t, err, fault.Denied, "")
	there.wantAsked(t)
}

// A region without a leader, or one whose leader does not answer, still shows what this node knows.
func TestFederation_NoLeader(t *testing.T) {
	h, _ := withFederation(t)
	h.region.leader, h.region.ask = "n2", func(context.Context, string, []byte) ([]byte, error) {
		return nil, fault.New(fault.Unavailable, "no connection to node %q", "n2")
	}
	c, ctx := h.federation(), t.Context()
	if got, err := c.GetFederation(ctx, &pb.GetFederationRequest{}); err != nil || got.GetFingerprint() != "n1" {
		t.Error(got, err)
	}
	if _, err := c.ListChannels(ctx, &pb.ListChannelsRequest{}); err != nil {
		t.Error(err)
	}
	if _, err := c.ListPeers(ctx, &pb.ListPeersRequest{}); err != nil {
		t.Error(err)
	}
	_, err := c.ListLinks(ctx, &pb.ListLinksRequest{})
	if e := wantFault(t, err, fault.Unavailable, ""); !strings.Contains(e.Message, "n2") {
		t.Errorf("the error names no node: %v", e)
	}
}

func TestHandleAsk_Refuses(t *testing.T) {
	h, f := withFederation(t)
	ask := func(m *pb.ForwardedCall) error {
		payload, err := proto.Marshal(m)
		if err != nil {
			t.Fatal(err)
		}
		_, err = h.HandleAsk(t.Context(), "n2", payload)
		return err
	}
	links := pb.FederationService_ListLinks_FullMethodName
	if err := ask(&pb.ForwardedCall{Method: links, Role: "reader"}); err != nil {
		t.Error(err)
	}
	wantFault(t, ask(&pb.ForwardedCall{Method: links, Role: "emperor"}), fault.Unsupported, "")
	wantFault(t, ask(&pb.ForwardedCall{Method: pb.ConfigService_PutConfig_FullMethodName, Role: "operator"}), fault.Unsupported, "")
	wantFault(t, ask(&pb.ForwardedCall{Method: "/none", Role: "operator"}), fault.Unsupported, "")
	wantFault(t, ask(&pb.ForwardedCall{Method: links, Role: "operator", Request: []byte{0xff}}), fault.Invalid, "")
	wantFault(t, ask(&pb.ForwardedCall{Method: pb.FederationService_Verify_FullMethodName, Role: "proxy"}), fault.Denied, "")
	wantFault(t, ask(&pb.ForwardedCall{Method: pb.FederationService_AcceptInvitation_FullMethodName, Role: "operator", Request: make([]byte, medium+1)}), fault.TooLarge, "")
	if _, err := h.HandleAsk(t.Context(), "n2", []byte{0xff}); !fault.Is(err, fault.Invalid) {
		t.Error(err)
	}
	f.wantAsked(t)
}

// The secret of an invitation, in any form, reaches no log: not when it is made, accepted, refused, malformed, or handed
// to another node.
func TestFederation_InvitationReachesNoLog(t *testing.T) {
	var logs bytes.Buffer
	debug := func(c *Config) {
		c.Log = slog.New(slog.NewTextHandler(&logs, &slog.HandlerOptions{Level: slog.LevelDebug}))
	}
	h, f := withFederation(t, debug)
	c, ctx := h.federation(), t.Context()
	made, err := c.CreateInvitation(ctx, &pb.CreateInvitationRequest{})
	if err != nil {
		t.Fatal(err)
	}
	inv := made.GetInvitation()
	accept := func() error {
		_, err := c.AcceptInvitation(ctx, &pb.AcceptInvitationRequest{Invitation: inv})
		return err
	}
	wantFault(t, accept(), fault.Denied, "")
	text := base64.StdEncoding.EncodeToString(f.secret)
	answers := h.do(t, "POST", "/api/v1/federation/invitations:accept", `{"invitation":{"secret":"`+text+`"}}`).text
	answers += h.do(t, "POST", "/api/v1/federation/invitations:accept", `{"invitation":{"secret":"`+text+`","x":1}}`).text
	answers += h.do(t, "POST", "/api/v1/federation/invitations:accept", `{"invitation":{"secret":["`+text+`"]}}`).text
	h.region.leader = "n2"
	h.region.ask = func(context.Context, string, []byte) ([]byte, error) {
		return nil, fault.New(fault.Unavailable, "no connection")
	}
	wantFault(t, accept(), fault.Unavailable, "")
	if !strings.Contains(logs.String(), "CreateInvitation") || !strings.Contains(logs.String(), "AcceptInvitation") {
		t.Errorf("the log does not show the calls:\n%s", logs.String())
	}
	for _, form := range []string{string(f.secret), text, hex.EncodeToString(f.secret), fmt.Sprint(f.secret), text[:16]} {
		if strings.Contains(logs.String(), form) || strings.Contains(answers, form) {
			t.Errorf("log or error shows the secret as %q:\n%s\n%s", form, logs.String(), answers)
		}
	}
}

// A write to what another region is the home of is refused with its name.
func TestPropose_NamesTheHome(t *testing.T) {
	h, ctx := newHarness(t), t.Context()
	h.region.imported(t)
	if _, err := h.region.Propose(ctx, record.Op{Type: record.OpPeer, Peer: &record.Peer{RegionID: [16]byte{2}, Value: regionValue(t, "dc2")}}); err != nil {
		t.Fatal(err)
	}
	place := &record.Place{Tenant: 1, Namespace: 1, UID: [16]byte{9}, Name: "default", Home: [16]byte{2}}
	if _, err := h.region.Propose(ctx, record.Op{Type: record.OpPlace, Place: place}); err != nil {
		t.Fatal(err)
	}
	_, err := h.config.PutConfig(ctx, &pb.PutConfigRequest{Config: &pb.Config{Name: "a", Value: []byte("1")}})
	if e := wantFault(t, err, fault.NotHome, ""); !strings.Contains(e.Message, `region "dc2"`) {
		t.Errorf("it does not name the region: %v", e)
	}
}

func regionValue(t testing.TB, name string) []byte {
	t.Helper()
	b, err := registry.RegionValue(&pb.Region{Id: idText([16]byte{2}), Name: name})
	if err != nil {
		t.Fatal(err)
	}
	return b
}
