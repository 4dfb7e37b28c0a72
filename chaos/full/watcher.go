package main

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"time"

	"google.golang.org/grpc"

	pb "supercluster/api/gen/supercluster/v1"
	"supercluster/chaos/fleet"
)

// watcher follows the config entries of a region, on one node after the other, and judges the order of what comes.
type watcher struct {
	region *fleet.Region

	mu       sync.Mutex
	state    map[string]uint64 // what it makes of the events: versions of what is there
	again    map[string]bool   // entries that their home may write once more: it went back in time, and healed
	gone     map[string]uint64 // the version that a deleted entry had
	revision uint64
	events   int
	problems []string
	slow     time.Duration // how long it does not read before the next message
	life     int           // of its region: it went back in time so often, and nothing of before counts
}

func newWatcher(r *fleet.Region) *watcher {
	return &watcher{region: r, state: map[string]uint64{}, again: map[string]bool{}, gone: map[string]uint64{}}
}

func (w *watcher) run(ctx context.Context) {
	for node := 0; ctx.Err() == nil; node++ {
		w.follow(ctx, w.region.Conns[node%len(w.region.Conns)])
		sleep(ctx, backOff)
	}
}

func (w *watcher) next() (revision uint64, life int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.revision + 1, w.life
}

func (w *watcher) follow(ctx context.Context, conn *grpc.ClientConn) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	from, life := w.next()
	stream, err := pb.NewWatchServiceClient(conn).Watch(ctx, &pb.WatchRequest{Kind: pb.Kind_KIND_CONFIG, FromRevision: from})
	for err == nil {
		var m *pb.WatchResponse
		if m, err = stream.Recv(); err != nil || !w.take(m, life) {
			return
		}
		w.doze(ctx)
	}
}

func (w *watcher) doze(ctx context.Context) {
	w.mu.Lock()
	d := w.slow
	w.slow = 0
	w.mu.Unlock()
	if d > 0 {
		sleep(ctx, d)
	}
}

// take takes a message of one life of the region in; false: that life is over.
func (w *watcher) take(m *pb.WatchResponse, life int) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	if life != w.life {
		return false
	}
	if m.GetRevision() < w.revision {
		w.problems = append(w.problems, fmt.Sprintf("revision %d after %d", m.GetRevision(), w.revision))
	}
	w.revision = max(w.revision, m.GetRevision())
	for _, e := range m.GetEvents() {
		w.events++
		name, version := e.GetName(), e.GetMeta().GetVersion()
		if e.GetType() == pb.Event_TYPE_DELETE {
			w.gone[name] = w.state[name]
			delete(w.state, name)
			continue
		}
		if last := w.state[name]; version <= last && !w.again[name] {
			w.problems = append(w.problems, fmt.Sprintf("%s version %d after %d", name, version, last))
		}
		if was, dead := w.gone[name]; dead && w.life == 0 {
			w.problems = append(w.problems, fmt.Sprintf("%s version %d came back, deleted at version %d", name, version, was))
		}
		w.state[name] = version
		delete(w.again, name)
	}
	return true
}

// expect takes in that another region went back in time: it heals, and writes what it had lost once more.
func (w *watcher) expect(region string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for name := range w.state {
		if strings.HasPrefix(name, region+"/") {
			w.again[name] = true
		}
	}
}

// forget begins anew, for a region whose past was exchanged.
func (w *watcher) forget() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.state, w.gone, w.revision = map[string]uint64{}, map[string]uint64{}, 0
	w.life++
}
