package main

import (
	"context"
	"fmt"
	"time"

	"google.golang.org/protobuf/types/known/durationpb"

	pb "supercluster/api/gen/supercluster/v1"
	"supercluster/chaos/drive"
	"supercluster/chaos/history"
	"supercluster/region/record"
)

// Follow watches all records.
func (s server) Follow(ctx context.Context, from record.Positions, tell drive.Tell) {
	stream, err := pb.NewWatchServiceClient(s.conn).Watch(ctx, &pb.WatchRequest{FromRevision: from.Data + 1, Progress: durationpb.New(time.Second)})
	if err != nil {
		return
	}
	if _, err := stream.Header(); err != nil || !tell(history.Watch{Event: history.WatchOpen, Revision: from.Data}, record.Positions{}) {
		return
	}
	for {
		m, err := stream.Recv()
		if err != nil || !tell(s.site.message(m), record.Positions{Data: m.GetRevision()}) {
			return
		}
	}
}

// message is what a message of the stream says about what clients changed.
func (s *site) message(m *pb.WatchResponse) history.Watch {
	w := history.Watch{Event: history.WatchProgress, Revision: m.GetRevision()}
	for _, e := range m.GetEvents() {
		if c, ok := s.change(e); ok {
			w.Event = history.WatchEvent
			w.Changes = append(w.Changes, c)
		}
	}
	return w
}

func (s *site) change(e *pb.Event) (c history.Change, ok bool) {
	switch e.GetKind() {
	case pb.Kind_KIND_CONFIG:
		c = history.Change{Key: drive.ConfigKey + e.GetName(), Channel: "config", Value: string(e.GetConfig().GetValue())}
	case pb.Kind_KIND_INSTANCE:
		c = history.Change{Key: drive.ServiceKey + e.GetName(), Channel: "endpoints", Value: e.GetInstance().GetMetadata()[valueOf]}
	}
	maker := s.world.run.Maker(c.Key)
	if c.Deleted = e.GetType() == pb.Event_TYPE_DELETE; c.Deleted {
		c.Value = ""
	}
	if source := e.GetSource().GetRegion(); source != "" && source != maker {
		c.Value = fmt.Sprintf("%q of region %q", c.Value, source) // nobody wrote that
	}
	if maker != s.Name {
		c.Source = maker
	}
	return c, maker != ""
}
