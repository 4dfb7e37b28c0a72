package main

import (
	"context"
	"fmt"
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
	homes    map[string]uint64 // the newest revision of the home, of records of other regions
	gone     map[string]uint64 // the version that a deleted entry had
	revision uint64
	events   int
	problems []string
	slow     time.Duration // how long it does not read before the next message
	restored bool          // its region went back in time: nothing of before counts
}

func newWatcher(r *fleet.Region) *watcher {
	return &watcher{region: r, state: map[string]uint64{}, homes: map[string]uint64{}, gone: map[string]uint64{}}
}

func (w *watcher) run(ctx context.Context) {
	for node := 0; ctx.Err() == nil; node++ {
		w.follow(ctx, w.region.Conns[node%len(w.region.Conns)])
		sleep(ctx, backOff)
	}
}

func (w *watcher) next() uint64 {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.revision + 1
}

func (w *watcher) follow(ctx context.Context, conn *grpc.ClientConn) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	stream, err := pb.NewWatchServiceClient(conn).Watch(ctx, &pb.WatchRequest{Kind: pb.Kind_KIND_CONFIG, FromRevision: w.next()})
	for err == nil {
		var m *pb.WatchResponse
		if m, err = stream.Recv(); err == nil {
			w.take(m)
			w.doze(ctx)
		}
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

func (w *watcher) take(m *pb.WatchResponse) {
	w.mu.Lock()
	defer w.mu.Unlock()
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
		// A home that healed wrote again what it had lost: the versions begin anew, its revisions do not.
		again := e.GetSource().GetRevision() > w.homes[name]
		w.homes[name] = max(w.homes[name], e.GetSource().GetRevision())
		if last := w.state[name]; version <= last && !again {
			w.problems = append(w.problems, fmt.Sprintf("%s version %d after %d", name, version, last))
		}
		if was, dead := w.gone[name]; dead && !w.restored {
			w.problems = append(w.problems, fmt.Sprintf("%s version %d came back, deleted at version %d", name, version, was))
		}
		w.state[name] = version
	}
}

// forget begins anew, for a region whose past was exchanged.
func (w *watcher) forget() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.state, w.gone, w.revision, w.restored = map[string]uint64{}, map[string]uint64{}, 0, true
}
