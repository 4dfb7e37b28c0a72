package server

import (
	"context"
	"strings"
	"time"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	pb "supercluster/api/gen/supercluster/v1"
	"supercluster/federation"
	"supercluster/internal/fault"
	"supercluster/region/record"
	"supercluster/registry"
)

// eventFilter says which events a watch shows.
type eventFilter struct {
	shard     uint32
	ns        registry.NamespaceKey
	tenant    uint32
	namespace uint32
	kind      record.Kind // 0: every kind that watches show
	prefix    string
	previous  bool
	progress  time.Duration

	// reading has the ages of what the watch shows; taken says when.
	reading *reading
	taken   time.Time
	// standing is how far the watch has come with what it shows of other regions, as far as that was asked for; next is what
	// counts when the watch has been given what this node had at nextAt.
	standing, next []federation.Standing
	nextAt         record.Positions
}

// watchKinds pairs the kinds of the API with those of the store.
var watchKinds = map[pb.Kind]record.Kind{
	pb.Kind_KIND_SERVICE:      record.KindService,
	pb.Kind_KIND_INSTANCE:     record.KindInstance,
	pb.Kind_KIND_CHECK:        record.KindCheck,
	pb.Kind_KIND_CHECK_STATUS: record.KindCheckStatus,
	pb.Kind_KIND_ROUTE:        record.KindRoute,
	pb.Kind_KIND_CONFIG:       record.KindConfig,
	pb.Kind_KIND_NODE:         record.KindNode,
	pb.Kind_KIND_SUMMARY:      record.KindSummary,
}

// apiKind gives the API's kind of a record; unspecified for kinds that watches do not show.
func apiKind(k record.Kind) pb.Kind {
	switch k {
	case record.KindService:
		return pb.Kind_KIND_SERVICE
	case record.KindInstance:
		return pb.Kind_KIND_INSTANCE
	case record.KindCheck:
		return pb.Kind_KIND_CHECK
	case record.KindCheckStatus:
		return pb.Kind_KIND_CHECK_STATUS
	case record.KindRoute:
		return pb.Kind_KIND_ROUTE
	case record.KindConfig:
		return pb.Kind_KIND_CONFIG
	case record.KindNode:
		return pb.Kind_KIND_NODE
	case record.KindSummary:
		return pb.Kind_KIND_SUMMARY
	default:
		return pb.Kind_KIND_UNSPECIFIED
	}
}

func (w watchService) filter(ctx context.Context, ns registry.NamespaceKey, req *pb.WatchRequest) (*eventFilter, error) {
	progress, err := progressOf(req)
	if err != nil {
		return nil, err
	}
	f := &eventFilter{
		shard: record.ShardData, ns: ns, kind: watchKinds[req.GetKind()], prefix: req.GetPrefix(),
		previous: req.GetPrevious(), progress: progress,
	}
	if f.kind == record.KindNode {
		f.shard = record.ShardSystem
		return f, nil
	}
	_, err = w.s.cfg.Views.View().Resolve("", ns.Tenant, ns.Namespace)
	if fault.Is(err, fault.NotFound) {
		if err := w.s.catchUp(ctx); err != nil {
			return nil, err
		}
		_, err = w.s.cfg.Views.View().Resolve("", ns.Tenant, ns.Namespace)
	}
	if err != nil {
		return nil, err
	}
	f.tenant, f.namespace, _ = w.s.cfg.Views.View().NamespaceIDs(ns.Tenant, ns.Namespace)
	return f, nil
}

func (f *eventFilter) selects(k *record.Key) bool {
	if f.kind != 0 && k.Kind != f.kind || !strings.HasPrefix(k.Name, f.prefix) {
		return false
	}
	if f.kind == record.KindNode {
		return true
	}
	return k.Tenant == f.tenant && k.Namespace == f.namespace && apiKind(k.Kind) != pb.Kind_KIND_UNSPECIFIED
}

// message makes the message of a commit, nil when the watch selects none of its events.
func (w watchService) message(ctx context.Context, f *eventFilter, commit *record.Commit) (*pb.WatchResponse, error) {
	var msg *pb.WatchResponse
	for i := range commit.Events {
		ev := &commit.Events[i]
		if !f.selects(&ev.Record.Key) {
			continue
		}
		event, err := w.event(ctx, f, ev)
		if err != nil {
			return nil, err
		}
		if msg == nil {
			msg = &pb.WatchResponse{Revision: commit.Position.Revision, Incarnation: w.s.incarnation()}
			if commit.Writer.Time != 0 {
				msg.Time = timestamppb.New(time.Unix(0, commit.Writer.Time))
			}
		}
		msg.Events = append(msg.Events, event)
	}
	return msg, nil
}

func (w watchService) event(ctx context.Context, f *eventFilter, ev *record.Event) (*pb.Event, error) {
	rec := &ev.Record
	out := &pb.Event{
		Type: pb.Event_TYPE_PUT, Kind: apiKind(rec.Key.Kind), Name: rec.Key.Name,
		Meta: &pb.Meta{
			CreateRevision: rec.CreateRevision, ModifyRevision: rec.ModifyRevision, Version: rec.Version, Region: w.s.ownerOf(rec),
		},
	}
	if rec.Key.Kind != record.KindNode {
		out.Tenant, out.Namespace = f.ns.Tenant, f.ns.Namespace
	}
	if rec.Origin.Home != ([16]byte{}) {
		out.Source = f.reading.placed(&rec.Origin, rec.ModifyRevision)
	}
	if f.previous && rec.Key.Kind == record.KindConfig && ev.Previous != 0 {
		out.PreviousConfig = w.previous(ctx, f, rec)
	}
	if ev.Type == record.EventDelete {
		out.Type = pb.Event_TYPE_DELETE
		return out, nil
	}
	return out, w.setValue(out, f, rec)
}

// agesEvery is how often a busy watch looks how old the copies of other regions are.
const agesEvery = 100 * time.Millisecond

// look has a watch that is given everything up to positions show how old the copies of other regions are, if the store has no
// more than that: what was heard of a region while a watch is behind says nothing of what the watch shows.
func (w watchService) look(f *eventFilter, at record.Positions) {
	if f.reading != nil && time.Since(f.taken) < agesEvery {
		return
	}
	now := w.s.reading()
	if f.reading == nil || at.Covers(w.s.cfg.Region.Freshness().Positions) {
		f.reading, f.taken = now, time.Now()
	}
}

// setValue decodes the stored value into the event.
func (w watchService) setValue(out *pb.Event, f *eventFilter, rec *record.Record) error {
	var msg proto.Message
	switch rec.Key.Kind {
	case record.KindConfig:
		out.Value = &pb.Event_Config{Config: registry.ConfigAnswer(f.ns.Config(rec.Key.Name), w.s.ownerOf(rec), *rec)}
		return nil
	case record.KindService:
		v := &pb.Service{}
		msg, out.Value = v, &pb.Event_Service{Service: v}
	case record.KindInstance:
		v := &pb.Instance{}
		msg, out.Value = v, &pb.Event_Instance{Instance: v}
	case record.KindCheck:
		v := &pb.Check{}
		msg, out.Value = v, &pb.Event_Check{Check: v}
	case record.KindCheckStatus:
		v := &pb.CheckStatus{}
		msg, out.Value = v, &pb.Event_CheckStatus{CheckStatus: v}
	case record.KindRoute:
		v := &pb.Route{}
		msg, out.Value = v, &pb.Event_Route{Route: v}
	case record.KindNode:
		v := &pb.Node{}
		msg, out.Value = v, &pb.Event_Node{Node: v}
	case record.KindSummary:
		v := &pb.CapacitySummary{}
		msg, out.Value = v, &pb.Event_Summary{Summary: v}
	default:
		return nil
	}
	if err := proto.Unmarshal(rec.Value, msg); err != nil {
		return fault.Wrap(fault.Corrupt, err, "the stored %s %q does not decode", out.GetKind(), rec.Key.Name)
	}
	return nil
}

// previous reads the version before a change, nil when it is no longer kept. It is asked for by the revision before the
// change: its own may be of a time that is not answered any more, though it is what was there until now.
func (w watchService) previous(ctx context.Context, f *eventFilter, changed *record.Record) *pb.Config {
	rec, found, _, err := w.s.cfg.Region.Get(ctx, changed.Key, changed.ModifyRevision-1, record.LevelLocal)
	if err != nil || !found {
		return nil
	}
	return configAnswer(f.reading, f.ns.Config(changed.Key.Name), &rec)
}
