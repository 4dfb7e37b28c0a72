package main

import (
	"context"
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"

	"google.golang.org/grpc"

	pb "supercluster/api/gen/supercluster/v1"
	"supercluster/chaos/fleet"
	"supercluster/chaos/insist"
)

const (
	perRegion = 3                     // writers of a region
	tryFor    = 1 * time.Second       // one question about a server
	giveUp    = 15 * time.Second      // after it the outcome of a write is unknown
	pause     = 12 * time.Millisecond // between the writes of one writer: the run is about faults, not load
	backOff   = 20 * time.Millisecond // between watches
)

// author writes in one region, whatever happens to its servers, with one request id for all attempts of a write.
type author struct {
	region  *fleet.Region
	servers *insist.Servers

	mu        sync.Mutex
	entries   []string        // acknowledged, each written once
	instances map[string]bool // acknowledged
	counts    map[string]int  // acknowledged writes of an entry that is written again and again

	unknown atomic.Int64
}

func newAuthor(r *fleet.Region) *author {
	return &author{region: r, servers: &insist.Servers{Conns: r.Conns, GiveUp: giveUp}, instances: map[string]bool{}, counts: map[string]int{}}
}

// run writes until ctx ends.
func (a *author) run(ctx context.Context) {
	var wg sync.WaitGroup
	for w := range perRegion {
		wg.Go(func() {
			for n := 0; ctx.Err() == nil; n++ {
				a.one(w, n)
				select {
				case <-ctx.Done():
				case <-time.After(pause):
				}
			}
		})
	}
	wg.Wait()
}

func (a *author) one(w, n int) {
	id := fmt.Sprintf("%s-%d-%d", a.region.Name, w, n)
	switch n % 4 {
	case 0:
		name := fmt.Sprintf("%s/count/%d", a.region.Name, w)
		if a.put(name, id, fmt.Sprint(n)) == nil {
			a.mu.Lock()
			a.counts[name]++
			a.mu.Unlock()
		}
	case 1:
		if a.register(id) == nil {
			a.mu.Lock()
			a.instances[id] = true
			a.mu.Unlock()
		}
	default:
		name := a.region.Name + "/acked/" + id
		if a.put(name, id, id) == nil {
			a.mu.Lock()
			a.entries = append(a.entries, name)
			a.mu.Unlock()
		}
	}
}

func (a *author) put(name, id, value string) error { return a.write(insist.Put(name, value, id)) }

// service is the service whose instances a region registers.
func service(region string) string { return "of-" + region }

func (a *author) register(id string) error {
	return a.write(func(ctx context.Context, conn *grpc.ClientConn) error {
		_, err := pb.NewRegistryServiceClient(conn).RegisterInstance(ctx, &pb.RegisterInstanceRequest{
			Instance: &pb.Instance{Service: service(a.region.Name), Id: id, Address: "10.0.0.1", Port: 80},
			Options:  &pb.WriteOptions{RequestId: id},
		})
		return err
	})
}

// write asks for a write until it is answered or its time is over.
func (a *author) write(do func(context.Context, *grpc.ClientConn) error) error {
	err := a.servers.Ask(rand.IntN, do)
	if err != nil {
		a.unknown.Add(1)
	}
	return err
}

// reader watches the config entries of a region, on one node after the other, and counts what comes twice.
type reader struct {
	region *fleet.Region

	mu       sync.Mutex
	versions map[string]uint64 // the newest seen
	events   int
	twice    []string
}

func newReader(r *fleet.Region) *reader { return &reader{region: r, versions: map[string]uint64{}} }

// run watches until ctx ends; each watch goes on where the one before ended.
func (r *reader) run(ctx context.Context) {
	next := uint64(1)
	for node := 0; ctx.Err() == nil; node++ {
		next = r.follow(ctx, r.region.Conns[node%len(r.region.Conns)], next)
		select {
		case <-ctx.Done():
		case <-time.After(backOff):
		}
	}
}

func (r *reader) follow(ctx context.Context, conn *grpc.ClientConn, next uint64) uint64 {
	stream, err := pb.NewWatchServiceClient(conn).Watch(ctx, &pb.WatchRequest{Kind: pb.Kind_KIND_CONFIG, FromRevision: next})
	for err == nil {
		var m *pb.WatchResponse
		if m, err = stream.Recv(); err != nil {
			break
		}
		r.take(m.GetEvents())
		next = max(next, m.GetRevision()+1)
	}
	return next
}

// take looks at events: the version of an entry is its home's, so it grows with each change and is seen once.
func (r *reader) take(events []*pb.Event) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, e := range events {
		r.events++
		name, version := e.GetName(), e.GetMeta().GetVersion()
		if last := r.versions[name]; version <= last {
			r.twice = append(r.twice, fmt.Sprintf("%s version %d after %d", name, version, last))
		}
		r.versions[name] = max(r.versions[name], version)
	}
}
