package main

import (
	"context"
	"encoding/hex"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"sync"
	"time"

	"google.golang.org/protobuf/proto"

	pb "supercluster/api/gen/supercluster/v1"
	"supercluster/chaos/drive"
	"supercluster/chaos/schedule"
	"supercluster/internal/procs"
	"supercluster/region/record"
	"supercluster/region/state"
	"supercluster/registry"
	"supercluster/secrets/ca"
)

// The first tenant and namespace of a region.
const (
	tenant    = 1
	namespace = 1
)

// world is all regions of a run.
type world struct {
	run     *drive.Run
	dir     string // of everything that they write
	network *network
	regions []*site
	ports   map[int]string // of federation sockets: the region
}

// site is one region.
type site struct {
	world    *world
	name     string
	identity *ca.Identity
	network  *network // between its nodes
	members  map[string]string
	nodes    []*node
	hooks    *hooks
	scopes   map[string]uint32 // by region: what its instances have in their keys here
	power    sync.Mutex        // held while nodes are switched off and on again
}

func newWorld(run *drive.Run) (_ drive.World, err error) {
	w := &world{run: run, network: newNetwork(), ports: map[int]string{}}
	if w.dir, err = os.MkdirTemp("", "chaos-data-"); err != nil {
		return nil, fmt.Errorf("make a folder for the regions: %w", err)
	}
	for _, r := range run.Plan.Regions {
		s, err := w.plant(r, filepath.Join(w.dir, r.Name))
		if err != nil {
			w.Close()
			return nil, fmt.Errorf("region %s: %w", r.Name, err)
		}
		w.regions = append(w.regions, s)
	}
	return w, nil
}

// plant makes a region of which nothing runs.
func (w *world) plant(r schedule.Region, dir string) (*site, error) {
	identity, err := ca.Init(filepath.Join(dir, "identity"), ca.Options{Name: r.Name, Now: time.Now()})
	if err != nil {
		return nil, err
	}
	ports, err := procs.FreePorts(2 * len(r.Nodes))
	if err != nil {
		return nil, err
	}
	s := &site{world: w, name: r.Name, identity: identity, network: newNetwork(), members: map[string]string{}, hooks: &hooks{}}
	for i, name := range r.Nodes {
		s.members[name] = fmt.Sprintf("127.0.0.1:%d", ports[2*i])
		w.ports[ports[2*i+1]] = r.Name
		s.nodes = append(s.nodes, &node{site: s, name: name, base: filepath.Join(dir, name), port: ports[2*i+1]})
	}
	return s, nil
}

func (w *world) regionAt(peer net.Addr) string {
	if u, ok := peer.(*net.UDPAddr); ok {
		return w.ports[u.Port]
	}
	return ""
}

func (w *world) find(name string) *site {
	for _, s := range w.regions {
		if s.name == name {
			return s
		}
	}
	return nil
}

// Regions gives all, in the order of the plan.
func (w *world) Regions() (all []drive.Region) {
	for _, s := range w.regions {
		all = append(all, s)
	}
	return all
}

// Start starts everything and makes every region the peer of every other.
func (w *world) Start(ctx context.Context) error {
	for _, s := range w.regions {
		for _, n := range s.nodes {
			if err := n.start(true); err != nil {
				return fmt.Errorf("%s/%s: %w", s.name, n.name, err)
			}
		}
	}
	for _, s := range w.regions {
		for _, n := range s.nodes {
			if err := n.waitReady(ctx); err != nil {
				return err
			}
		}
	}
	for _, s := range w.regions {
		if err := s.federate(ctx); err != nil {
			return fmt.Errorf("federate %s: %w", s.name, err)
		}
	}
	return drive.Wait(ctx, 30*time.Second, "all regions to hear each other", func(ctx context.Context) string {
		for _, s := range w.regions {
			for _, o := range w.regions {
				if age, known := s.age(o); o != s && (!known || age > 2*time.Second) {
					return fmt.Sprintf("%s does not hear %s", s.name, o.name)
				}
			}
		}
		if problem := w.Digests(ctx); problem != "" { // what was there before the channels is told in any order
			return problem
		}
		return w.nameOthers(ctx)
	})
}

// nameOthers notes in every region the numbers that stand for the others.
func (w *world) nameOthers(ctx context.Context) (problem string) {
	for _, s := range w.regions {
		if err := s.nameOthers(ctx); err != nil {
			problem = fmt.Sprintf("how %s names the others: %v", s.name, err)
		}
	}
	return problem
}

// nameOthers notes the numbers that stand for other regions in the keys of this one.
func (s *site) nameOthers(ctx context.Context) error {
	rows, release, err := s.pin(ctx)
	if err != nil {
		return err
	}
	defer release()
	s.scopes = map[string]uint32{s.name: record.ScopeRegion}
	for _, o := range s.world.regions {
		if o == s {
			continue
		}
		if s.scopes[o.name], _, _, err = state.FindRegion(rows, o.identity.RegionID); err != nil {
			return err
		}
	}
	return nil
}

// Close ends all nodes; nothing of them stays.
func (w *world) Close() {
	var all sync.WaitGroup
	for _, s := range w.regions {
		for _, n := range s.nodes {
			all.Go(n.stop)
		}
	}
	all.Wait()
	_ = os.RemoveAll(w.dir)
}

// federate tells a region of all others, and whose the records of each prefix are.
func (s *site) federate(ctx context.Context) error {
	for _, o := range s.world.regions {
		if o != s {
			if err := s.introduce(ctx, o); err != nil {
				return err
			}
		}
	}
	if err := s.place(ctx, "", s.world.regions[0]); err != nil {
		return err
	}
	for _, o := range s.world.regions {
		if err := s.place(ctx, o.name+"/", o); err != nil {
			return err
		}
	}
	return nil
}

func (s *site) introduce(ctx context.Context, o *site) error {
	key := o.identity.Feed.Public()
	doc := &pb.Region{
		Id: hex.EncodeToString(o.identity.RegionID[:]), Name: o.name, FeedKey: key[:], CaCertificates: [][]byte{o.identity.Root.Raw},
		TrustDomain: o.identity.TrustDomain, Addresses: o.addresses(),
	}
	value, err := registry.RegionValue(doc)
	if err != nil {
		return err
	}
	id := o.identity.RegionID
	if err := s.do(ctx, record.Op{Type: record.OpPeer, Peer: &record.Peer{RegionID: id, Value: value}}); err != nil {
		return err
	}
	return s.do(ctx, record.Op{Type: record.OpLink, Link: &record.Link{RegionID: id, Remote: id, Tenant: tenant}})
}

func (s *site) place(ctx context.Context, prefix string, home *site) error {
	id := home.identity.RegionID
	value, err := proto.Marshal(&pb.Placement{Tenant: "default", Namespace: "default", Prefix: prefix, Home: hex.EncodeToString(id[:])})
	if err != nil {
		return err
	}
	return s.do(ctx, record.Op{Type: record.OpPlace, Place: &record.Place{
		Tenant: tenant, Namespace: namespace, UID: s.identity.RegionID, Name: "default", Prefix: prefix, Home: id, Value: value,
	}})
}

// do applies an operation while nothing is wrong.
func (s *site) do(ctx context.Context, op record.Op) error {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	_, err := s.nodes[0].live().region.Propose(ctx, op)
	return err
}

func (s *site) addresses() (all []string) {
	for _, n := range s.nodes {
		all = append(all, fmt.Sprintf("127.0.0.1:%d", n.port))
	}
	return all
}

// age is how old what a region has of another is, by its own account: the best that a node of it knows.
func (s *site) age(o *site) (best time.Duration, known bool) {
	for _, n := range s.nodes {
		if l := n.live(); l != nil && l.federation != nil {
			if age, ok := l.federation.Age(o.identity.RegionID); ok && (!known || age < best) {
				best, known = age, true
			}
		}
	}
	return best, known
}
