package main

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/protobuf/types/known/durationpb"

	pb "supercluster/api/gen/supercluster/v1"
	"supercluster/chaos/history"
)

const (
	followFor = 4 * time.Second // on one server: going on where a watch stopped is watched too
	backOff   = 50 * time.Millisecond
)

// watcher is a client that watches all records of a region, on one server after another.
type watcher struct {
	site *site
	name string
	turn int // which server is next

	mu   sync.Mutex
	life int // of the region, that at is of
	at   uint64
}

// watches makes those of all regions, from where each region is now. Nothing may be written yet.
func (w *world) watches(ctx context.Context) (all []*watcher, err error) {
	for _, s := range w.sites {
		at, err := s.revision(ctx)
		if err != nil {
			return nil, fmt.Errorf("where %s is: %w", s.Name, err)
		}
		for n := range w.plan.Workload.Watches {
			all = append(all, &watcher{site: s, name: fmt.Sprintf("%s-w%d", s.Name, n), turn: n, at: at})
		}
	}
	return all, nil
}

// revision is where a region is.
func (s *site) revision(ctx context.Context) (uint64, error) {
	ctx, cancel := context.WithTimeout(ctx, askFor)
	defer cancel()
	answer, err := pb.NewConfigServiceClient(s.Conns[0]).ListConfigs(ctx, &pb.ListConfigsRequest{CountOnly: true, Read: linearizable})
	return answer.GetHeader().GetRevision(), err
}

// run watches until ctx ends.
func (r *watcher) run(ctx context.Context) {
	for ctx.Err() == nil {
		r.turn++
		n := r.turn % len(r.site.Conns)
		r.follow(ctx, r.site.Nodes[n], r.site.Conns[n])
		pause(ctx, backOff)
	}
}

// begin gives where to go on; in a new life of the region, from its beginning.
func (r *watcher) begin() (from uint64, life int) {
	life = r.site.lifeNow()
	r.mu.Lock()
	defer r.mu.Unlock()
	if life != r.life {
		r.life, r.at = life, 0
	}
	return r.at, life
}

func (r *watcher) follow(ctx context.Context, node string, conn *grpc.ClientConn) {
	ctx, cancel := context.WithTimeout(ctx, followFor)
	defer cancel()
	from, life := r.begin()
	stream, err := pb.NewWatchServiceClient(conn).Watch(ctx, &pb.WatchRequest{FromRevision: from + 1, Progress: durationpb.New(time.Second)})
	if err != nil {
		return
	}
	if _, err := stream.Header(); err != nil || !r.tell(node, life, history.Watch{Event: history.WatchOpen, Revision: from}) {
		return
	}
	for {
		m, err := stream.Recv()
		if err != nil || !r.tell(node, life, r.message(m)) {
			return
		}
		r.slowly(ctx)
	}
}

// message is what a message of the stream says about what clients changed.
func (r *watcher) message(m *pb.WatchResponse) history.Watch {
	w := history.Watch{Event: history.WatchProgress, Revision: m.GetRevision()}
	for _, e := range m.GetEvents() {
		if c, ok := r.change(e); ok {
			w.Event = history.WatchEvent
			w.Changes = append(w.Changes, c)
		}
	}
	return w
}

// tell writes a message down; false: the life of the region that it is of is over.
func (r *watcher) tell(node string, life int, watch history.Watch) bool {
	watch.Name = r.name
	r.site.mu.Lock()
	defer r.site.mu.Unlock()
	if life != r.site.life {
		return false
	}
	r.site.world.log.Add(history.Line{Type: history.Watched, Region: r.site.Name, Node: node, Watch: &watch})
	r.mu.Lock()
	defer r.mu.Unlock()
	r.at = max(r.at, watch.Revision)
	return true
}

func (r *watcher) change(e *pb.Event) (c history.Change, ok bool) {
	switch e.GetKind() {
	case pb.Kind_KIND_CONFIG:
		c = history.Change{Key: configKey + e.GetName(), Channel: "config", Value: string(e.GetConfig().GetValue())}
	case pb.Kind_KIND_INSTANCE:
		c = history.Change{Key: serviceKey + e.GetName(), Channel: "endpoints", Value: e.GetInstance().GetMetadata()[valueOf]}
	}
	maker := r.site.world.makerOf(c.Key)
	if c.Deleted = e.GetType() == pb.Event_TYPE_DELETE; c.Deleted {
		c.Value = ""
	}
	if source := e.GetSource().GetRegion(); source != "" && source != maker {
		c.Value = fmt.Sprintf("%q of region %q", c.Value, source) // nobody wrote that
	}
	if maker != r.site.Name {
		c.Source = maker
	}
	return c, maker != ""
}

// makerOf is the region whose clients write a key; "" when none does.
func (w *world) makerOf(key string) string {
	for _, s := range w.sites {
		for _, prefix := range []string{configKey + s.Name + "/g", configKey + s.Name + "/app/", serviceKey + s.Name + "-web/"} {
			if strings.HasPrefix(key, prefix) {
				return s.Name
			}
		}
	}
	return ""
}

func (r *watcher) position() (at uint64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.at
}

// slowly reads nothing while a nemesis wants it, and notes how far behind the watch is then.
func (r *watcher) slowly(ctx context.Context) {
	s := r.site
	s.mu.Lock()
	wait := time.Until(s.slowTill)
	s.mu.Unlock()
	if wait <= 0 || !pause(ctx, wait) {
		return
	}
	if now, err := s.revision(ctx); err == nil && now > r.position() {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.lag = max(s.lag, now-r.position())
	}
}

func (s *site) lifeNow() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.life
}
