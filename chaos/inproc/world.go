package main

import (
	"context"
	"encoding/hex"
	"fmt"
	"net"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	"google.golang.org/protobuf/proto"

	pb "supercluster/api/gen/supercluster/v1"
	"supercluster/chaos/history"
	"supercluster/chaos/schedule"
	"supercluster/internal/procs"
	"supercluster/region/record"
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
	plan    *schedule.Plan
	log     *history.Log
	network *network
	regions []*site
	ports   map[int]string // of federation sockets: the region

	stuck atomic.Bool // something did not come back: no more of the plan can be run

	mu       sync.Mutex
	watchers []*watcher
	pause    map[string]time.Duration // by region: how slowly its watches read
	lag      map[string]uint64        // and how many revisions they were behind at most meanwhile
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
	power    sync.Mutex // held while nodes are switched off and on again
}

func newWorld(p *schedule.Plan, dir string, log *history.Log) (*world, error) {
	w := &world{plan: p, log: log, network: newNetwork(), ports: map[int]string{}, pause: map[string]time.Duration{}, lag: map[string]uint64{}}
	for _, r := range p.Regions {
		s, err := w.plant(r, filepath.Join(dir, r.Name))
		if err != nil {
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

// start starts everything and makes every region the peer of every other.
func (w *world) start(ctx context.Context) error {
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
	return w.wait(ctx, 30*time.Second, "all regions to hear each other", func() string {
		for _, s := range w.regions {
			for _, o := range w.regions {
				if age, known := s.age(o); o != s && (!known || age > 2*time.Second) {
					return fmt.Sprintf("%s does not hear %s", s.name, o.name)
				}
			}
		}
		return w.digests(ctx) // what was there before the channels is told in any order
	})
}

// wait waits until problem gives none.
func (w *world) wait(ctx context.Context, within time.Duration, what string, problem func() string) error {
	ctx, cancel := context.WithTimeout(ctx, within)
	defer cancel()
	for {
		p := problem()
		if p == "" {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("waited %v for %s: %s", within, what, p)
		case <-time.After(20 * time.Millisecond):
		}
	}
}

func (w *world) stop() {
	var all sync.WaitGroup
	for _, s := range w.regions {
		for _, n := range s.nodes {
			all.Go(n.stop)
		}
	}
	all.Wait()
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
