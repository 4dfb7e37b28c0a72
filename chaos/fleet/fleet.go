// Package fleet runs regions that exchange their records over a shaped network: real server processes with identities,
// joined as an operator joins them, tenants linked, and the namespace `default` federated.
//
// It owns the processes and the joining, never what is measured or judged. Every region is the home of the config entries
// below its own name (`dc1/...`). A Fleet belongs to one goroutine until it is joined; asking is safe from any.
package fleet

import (
	"context"
	"fmt"
	"net"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/protobuf/types/known/durationpb"

	pb "supercluster/api/gen/supercluster/v1"
	"supercluster/chaos/wan"
	"supercluster/internal/procs"
)

// verifyFor is how long one verification waits for channels to come to where their source is.
const verifyFor = 5 * time.Second

// federationPort is the first UDP port of the servers of a region in a namespace.
const federationPort = 8302

// Fleet is the regions of a run, in the order of the sites of the network.
type Fleet struct {
	WAN     *wan.WAN
	Group   *procs.Group
	Regions []*Region
}

// Region is one region.
type Region struct {
	*procs.Region
	Name  string
	Conns []*grpc.ClientConn // one for each node, in their order
}

// Option says how the processes of a fleet run.
type Option func(*procs.Group)

// OneProcessor holds each server to one processor, in turn.
func OneProcessor(g *procs.Group) { g.OneProcessor() }

// Start starts a region of n nodes at each site and waits until all serve.
func Start(ctx context.Context, w *wan.WAN, binary string, sites []string, n int, options ...Option) (*Fleet, error) {
	var all []Site
	for _, site := range sites {
		all = append(all, Site{Name: site, Nodes: n})
	}
	return StartSites(ctx, w, binary, all, options...)
}

// Site says what to start at a site.
type Site struct {
	Name  string
	Nodes int
	Data  func(n int) string // the data folder of a node; nil: one in the folder of the group
	Init  []string           // what makes its identity, in place of the server's program
	// Reach gives the address under which one node finds another, as in procs.Place.
	Reach func(from, to int, address string) (string, error)
}

// StartSites is Start with regions that differ.
func StartSites(ctx context.Context, w *wan.WAN, binary string, sites []Site, options ...Option) (*Fleet, error) {
	group, err := procs.NewGroup()
	if err != nil {
		return nil, err
	}
	for _, option := range options {
		option(group)
	}
	f := &Fleet{WAN: w, Group: group}
	for _, site := range sites {
		if err := f.start(ctx, binary, site); err != nil {
			f.Close()
			return nil, fmt.Errorf("region %s: %w", site.Name, err)
		}
	}
	return f, nil
}

// PlaceOf is the place of a site for servers and clients.
func PlaceOf(w *wan.WAN, site string) procs.Place {
	return procs.Place{
		Name:       site,
		Inside:     func(fn func() error) error { return w.Inside(site, fn) },
		Dial:       func(ctx context.Context, address string) (net.Conn, error) { return w.Dial(ctx, site, address) },
		Federation: func(n int) (string, string, error) { return w.UDPAddress(site, federationPort+n) },
	}
}

func (f *Fleet) start(ctx context.Context, binary string, site Site) error {
	place := PlaceOf(f.WAN, site.Name)
	place.Data, place.Reach = site.Data, site.Reach
	maker := append([]string{binary}, site.Init...)
	if len(site.Init) > 0 {
		maker = maker[1:]
	}
	place.Identity = filepath.Join(f.Group.Dir, "identity-"+site.Name)
	if out, err := exec.CommandContext(ctx, maker[0], append(maker[1:], "region", "init", "--out", place.Identity, "--name", site.Name)...).CombinedOutput(); err != nil {
		return fmt.Errorf("region init: %w: %s", err, out)
	}
	started, err := f.Group.StartRegionAt(ctx, binary, site.Nodes, place)
	if err != nil {
		return err
	}
	r, err := connected(started, site.Name)
	if err == nil {
		f.Regions = append(f.Regions, r)
	}
	return err
}

// connected opens a connection to each node of a region.
func connected(started *procs.Region, name string) (*Region, error) {
	conns, err := started.ConnectEach()
	return &Region{Region: started, Name: name, Conns: conns}, err
}

// Twin starts a region of one node once more at a site that has its address, on a copy of its data folder, as who clones a
// machine does. It is not one of the fleet's regions; it ends with the fleet.
func (f *Fleet) Twin(ctx context.Context, r *Region, site, folder string) (*Region, error) {
	place := PlaceOf(f.WAN, site)
	place.Name = r.Name
	started, err := r.Region.Twin(ctx, place, folder)
	if err != nil {
		return nil, err
	}
	return connected(started, r.Name)
}

// Close ends every process.
func (f *Fleet) Close() {
	for _, r := range f.Regions {
		for _, c := range r.Conns {
			c.Close()
		}
	}
	f.Group.Close()
}

// Join makes every two regions peers, links their tenants `default`, federates the namespace `default`, and waits until
// every region has everything of every other.
func (f *Fleet) Join(ctx context.Context) error {
	for i, a := range f.Regions {
		for _, b := range f.Regions[i+1:] {
			invitation, err := a.API().CreateInvitation(ctx, &pb.CreateInvitationRequest{})
			if err != nil {
				return fmt.Errorf("%s invites %s: %w", a.Name, b.Name, err)
			}
			if _, err := b.API().AcceptInvitation(ctx, &pb.AcceptInvitationRequest{Invitation: invitation.GetInvitation()}); err != nil {
				return fmt.Errorf("%s accepts the invitation of %s: %w", b.Name, a.Name, err)
			}
		}
	}
	for _, r := range f.Regions {
		if err := f.share(ctx, r); err != nil {
			return fmt.Errorf("region %s: %w", r.Name, err)
		}
	}
	for _, r := range f.Regions {
		if err := r.Equal(ctx, time.Minute); err != nil {
			return err
		}
	}
	return nil
}

// share links the tenants of the others and says whose the names of the namespace are.
func (f *Fleet) share(ctx context.Context, r *Region) error {
	for _, other := range f.Regions {
		if other == r {
			continue
		}
		err := again(ctx, func() error {
			_, err := r.API().LinkTenant(ctx, &pb.LinkTenantRequest{Tenant: "default", Region: other.Name, Remote: "default"})
			return err
		})
		if err != nil {
			return fmt.Errorf("link the tenant of %s: %w", other.Name, err)
		}
	}
	placements := []*pb.Placement{{Home: f.Regions[0].Name}}
	for _, home := range f.Regions {
		placements = append(placements, &pb.Placement{Prefix: home.Name + "/", Home: home.Name})
	}
	for _, p := range placements {
		p.Tenant, p.Namespace = "default", "default"
		err := again(ctx, func() error {
			_, err := r.API().PutPlacement(ctx, &pb.PutPlacementRequest{Placement: p})
			return err
		})
		if err != nil {
			return fmt.Errorf("place %q: %w", p.Prefix, err)
		}
	}
	return nil
}

// again repeats what a region may not know yet, for ten seconds.
func again(ctx context.Context, do func() error) error {
	for deadline := time.Now().Add(10 * time.Second); ; {
		err := do()
		if err == nil || ctx.Err() != nil || time.Now().After(deadline) {
			return err
		}
		time.Sleep(50 * time.Millisecond)
	}
}

// API is the federation service of the first node; the leader answers behind it.
func (r *Region) API() pb.FederationServiceClient { return pb.NewFederationServiceClient(r.Conns[0]) }

// Equal asks until everything that the region imports is equal to its source, by digest.
func (r *Region) Equal(ctx context.Context, within time.Duration) error {
	problem := "nobody answered"
	for deadline := time.Now().Add(within); time.Now().Before(deadline) && ctx.Err() == nil; time.Sleep(20 * time.Millisecond) {
		for _, conn := range r.Conns {
			asking, cancel := context.WithTimeout(ctx, 2*verifyFor)
			answer, err := pb.NewFederationServiceClient(conn).Verify(asking, &pb.VerifyRequest{Timeout: durationpb.New(verifyFor)})
			cancel()
			if err != nil {
				problem = err.Error()
				continue
			}
			if answer.GetEqual() && len(answer.GetResults()) > 0 {
				return nil
			}
			for _, one := range answer.GetResults() {
				if !one.GetEqual() {
					problem = fmt.Sprintf("channel %s of %s: %s", one.GetClass(), one.GetRegion(), one.GetProblem())
				}
			}
			break
		}
	}
	return fmt.Errorf("region %s is not equal to its sources: %s", r.Name, problem)
}

// Standing says, for people, how the links and the imported channels of a region are.
func (r *Region) Standing(ctx context.Context) string {
	ctx, cancel := context.WithTimeout(ctx, 2*time.Second)
	defer cancel()
	var b strings.Builder
	links, err := r.API().ListLinks(ctx, &pb.ListLinksRequest{})
	if err != nil {
		return err.Error()
	}
	for _, l := range links.GetLinks() {
		fmt.Fprintf(&b, "%s to %s: %s since %v, %d attempts, %d stalls, round trip %v, %s\n", r.Name, l.GetRegion(), l.GetState(),
			time.Since(l.GetSince().AsTime()).Round(time.Millisecond), l.GetAttempts(), l.GetStalls(), l.GetRoundTrip().AsDuration(), l.GetLastError())
	}
	channels, err := r.API().ListChannels(ctx, &pb.ListChannelsRequest{})
	if err != nil {
		return b.String() + err.Error()
	}
	for _, c := range channels.GetChannels() {
		if !c.GetOwn() {
			fmt.Fprintf(&b, "%s: %s of %s: %d of %d, via %s, age %v, resyncing %v\n", r.Name, c.GetChannel().GetClass(), c.GetRegion(),
				c.GetSequence(), c.GetHeadSequence(), c.GetVia(), c.GetAge().AsDuration(), c.GetResyncing())
		}
	}
	return b.String()
}
