package main

import (
	"context"
	"encoding/hex"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	pb "supercluster/api/gen/supercluster/v1"
	"supercluster/federation"
	"supercluster/internal/config"
	"supercluster/internal/fault"
	"supercluster/region/record"
)

// maxDevRegions bounds `dev --regions`: region n takes the default ports + 10 x (n-1).
const maxDevRegions = 9

// devRegions runs several regions of one node each in this process, over real QUIC on loopback, with faults between them
// on demand.
type devRegions struct {
	delay time.Duration
	logs  io.Writer
	all   []*devRegion

	mu  sync.Mutex
	cut map[[2]int]bool
}

// devRegion is one region, running or not.
type devRegion struct {
	number int // from 0
	config config.Server

	mu      sync.Mutex
	process *process // nil while it does not run
	stop    context.CancelFunc
	ended   chan struct{}
	failed  error
}

func newDevRegions(flags map[string][]string, regions, offset int, delay time.Duration, dir string, logs io.Writer) (*devRegions, error) {
	if regions < 1 || regions > maxDevRegions {
		return nil, fault.Field("--regions", "is %d; dev runs 1 to %d", regions, maxDevRegions)
	}
	if delay < 0 || delay > 5*time.Second {
		return nil, fault.Field("--delay", "is %s; it goes from 0 to 5s", delay)
	}
	for _, f := range []string{"http", "grpc", "dns", "raft", "federation", "probe"} {
		if len(flags[f]) > 0 {
			return nil, fault.Field("--"+f, "does not go with --regions, where region n has the default ports + 10 x (n-1)").
				WithHint("--port-offset moves them all")
		}
	}
	d := &devRegions{delay: delay, logs: logs, cut: map[[2]int]bool{}}
	for n := range regions {
		c, err := devConfigOf(flags, fmt.Sprintf("dc%d", n+1), offset+10*n, shift(config.Default().Listen.Admin, offset))
		if err != nil {
			return nil, err
		}
		c.DataDir = filepath.Join(dir, c.Region)
		if err := os.MkdirAll(c.DataDir, 0o700); err != nil {
			return nil, fault.Wrap(fault.Invalid, err, "cannot make the data folder of region %s", c.Region)
		}
		if err := devIdentity(&c, time.Now()); err != nil {
			return nil, err
		}
		d.all = append(d.all, &devRegion{number: n, config: c})
	}
	return d, nil
}

// run runs the regions until ctx ends, or until one fails that nobody killed.
func (d *devRegions) run(ctx context.Context, admin net.Listener, ready func()) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	defer func() {
		for _, r := range d.all {
			r.end()
		}
	}()
	served := make(chan error, 1)
	go func() { served <- serveAdmin(ctx, admin, d.handle) }()
	g, starting := errgroup.WithContext(ctx)
	for _, r := range d.all {
		g.Go(func() error { return d.start(starting, ctx, r, cancel) })
	}
	if err := g.Wait(); err != nil {
		return err
	}
	if err := d.federate(ctx); err != nil {
		return err
	}
	ready()
	select {
	case <-ctx.Done():
		if cause := context.Cause(ctx); !fault.Is(cause, fault.Canceled) && cause != context.Canceled {
			return cause
		}
		return nil
	case err := <-served:
		return err
	}
}

// start starts a region and waits until it serves. life bounds the region, ctx the start.
func (d *devRegions) start(ctx, life context.Context, r *devRegion, fail context.CancelCauseFunc) error {
	r.mu.Lock()
	if r.process != nil {
		r.mu.Unlock()
		return fault.New(fault.Conflict, "region %s runs already", r.config.Region)
	}
	run, stop := context.WithCancel(life)
	ready, ended := make(chan struct{}), make(chan struct{})
	r.stop, r.ended = stop, ended
	r.mu.Unlock()
	go func() {
		defer close(ended)
		err := serve(run, start{
			config: r.config, dev: true, version: version, logs: d.logs, noAdmin: true, shape: d.shapeOf(r.number), probing: d.probingOf(r.number),
			made:  func(p *process) { r.set(p) },
			ready: func() { close(ready) },
		})
		r.set(nil)
		stop()
		if err != nil && life.Err() == nil && fail != nil {
			fail(fmt.Errorf("region %s: %w", r.config.Region, err))
		}
		r.mu.Lock()
		r.failed = err
		r.mu.Unlock()
	}()
	select {
	case <-ready:
		return nil
	case <-ended:
		r.mu.Lock()
		defer r.mu.Unlock()
		return fmt.Errorf("region %s: %w", r.config.Region, r.failed)
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (r *devRegion) set(p *process) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.process = p
}

func (r *devRegion) running() *process {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.process
}

// end stops a region and waits until it has ended.
func (r *devRegion) end() {
	r.mu.Lock()
	stop, ended := r.stop, r.ended
	r.mu.Unlock()
	if stop != nil {
		stop()
		<-ended
	}
}

// shapeOf decides the fate of what region n sends and receives.
func (d *devRegions) shapeOf(n int) func(peer net.Addr) (bool, time.Duration) {
	ports := map[int]int{}
	for k, r := range d.all {
		ports[portOf(r.config.Listen.Federation)] = k
	}
	return func(peer net.Addr) (bool, time.Duration) {
		u, ok := peer.(*net.UDPAddr)
		if !ok {
			return false, 0
		}
		k, known := ports[u.Port]
		if !known {
			return false, 0
		}
		d.mu.Lock()
		defer d.mu.Unlock()
		return d.cut[pair(n, k)], d.delay
	}
}

// probingOf decides the fate of what region n probes: a cut loses it, and it takes as long as a packet there and back.
func (d *devRegions) probingOf(n int) func(ctx context.Context, address string) error {
	ports := map[int]int{}
	for k, r := range d.all {
		ports[portOf(r.config.Listen.Probe)] = k
	}
	return func(ctx context.Context, address string) error {
		d.mu.Lock()
		k, known := ports[portOf(address)]
		lost := known && d.cut[pair(n, k)]
		wait := time.After(2 * d.delay)
		d.mu.Unlock()
		if lost {
			wait = nil
		}
		select {
		case <-wait:
			return nil
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

func pair(a, b int) [2]int { return [2]int{min(a, b), max(a, b)} }

func portOf(addr string) int {
	_, port, _ := net.SplitHostPort(addr)
	n, _ := strconv.Atoi(port) // the address was checked
	return n
}

// federate makes the regions peers, links their tenants `default`, and declares the namespace `default` federated with
// its home in the first region. What is there already stays.
func (d *devRegions) federate(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	for i, a := range d.all {
		for _, b := range d.all[i+1:] {
			if err := introduce(ctx, a.running(), b.running()); err != nil {
				return fmt.Errorf("regions %s and %s: %w", a.config.Region, b.config.Region, err)
			}
		}
	}
	for _, r := range d.all {
		if err := d.share(ctx, r.running()); err != nil {
			return fmt.Errorf("region %s: %w", r.config.Region, err)
		}
	}
	return nil
}

func introduce(ctx context.Context, a, b *process) error {
	peers, err := a.federation.Peers()
	if err != nil {
		return err
	}
	if slices.ContainsFunc(peers, func(p *pb.Peer) bool { return p.GetRegion().GetId() == hex.EncodeToString(b.identity.RegionID[:]) }) {
		return nil
	}
	invitation, err := a.federation.Invite(ctx, 0, record.Writer{Actor: "dev"})
	if err != nil {
		return err
	}
	_, err = b.federation.Accept(ctx, invitation, record.Writer{Actor: "dev"})
	return err
}

// share links the tenant `default` of every other region to that of one, and places its namespace `default`.
func (d *devRegions) share(ctx context.Context, p *process) error {
	tenant, namespace, err := defaultIDs(ctx, p)
	if err != nil {
		return err
	}
	for _, other := range d.all {
		id := other.running().identity.RegionID
		if id == p.identity.RegionID {
			continue
		}
		if err := p.federation.LinkTenant(ctx, id, id, tenant, record.Writer{Actor: "dev"}); err != nil { // the uid of the first tenant is its region's id
			return err
		}
	}
	_, err = p.federation.Place(ctx, federation.Tenant{ID: tenant, UID: p.identity.RegionID, Name: "default"}, namespace,
		&pb.Placement{Namespace: "default", Home: hex.EncodeToString(firstID(d))}, false, record.Writer{Actor: "dev"})
	return err
}

func firstID(d *devRegions) []byte {
	id := d.all[0].running().identity.RegionID
	return id[:]
}

// defaultIDs waits until the view has tenant and namespace `default`.
func defaultIDs(ctx context.Context, p *process) (tenant, namespace uint32, err error) {
	for {
		if t, n, ok := p.live.View().NamespaceIDs("default", "default"); ok {
			return t, n, nil
		}
		select {
		case <-ctx.Done():
			return 0, 0, fault.New(fault.Unavailable, "the region has no tenant yet")
		case <-time.After(10 * time.Millisecond):
		}
	}
}
