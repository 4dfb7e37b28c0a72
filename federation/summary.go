package federation

import (
	"bytes"
	"cmp"
	"context"
	"slices"
	"time"

	pb "supercluster/api/gen/supercluster/v1"
	"supercluster/region/record"
	"supercluster/region/state"
	"supercluster/registry"
)

// summaries writes what this region has of each service, in numbers, as records, while this node leads and a channel
// carries them. Health may flip a thousand times a second; a summary is written at most once per summaryEvery.
type summaries struct {
	f    *Federation
	next time.Time
	// seen is the view of each service that was summed up last: one that is the same has the same summary.
	seen map[registry.ServiceKey]*registry.ServiceView
	view *registry.View
}

const (
	summaryEvery = time.Second
	// summariesAtOnce bounds the records of one transaction.
	summariesAtOnce = 256
)

// sumUp brings the summary records up to the view, if it is time.
func (s *summaries) sumUp(ctx context.Context) error {
	now := time.Now()
	if s.f.cfg.View == nil || now.Before(s.next) {
		return nil
	}
	v := s.f.cfg.View()
	if v == s.view {
		return nil
	}
	var spaces []summarySpace
	wanted := false
	if err := s.f.pinned(func(r state.Reader) error {
		docs, err := state.Channels(r)
		if err != nil {
			return err
		}
		wanted = slices.ContainsFunc(docs, func(c record.Channel) bool { return c.Class == record.ClassSummaries })
		return state.EachFederated(r, func(tenant, namespace uint32, fed *record.FederatedNamespace) error {
			spaces = append(spaces, summarySpace{tenant, namespace, fed.Namespace})
			return nil
		})
	}); err != nil || !wanted {
		return err
	}
	for _, space := range spaces {
		if err := s.space(ctx, v, space); err != nil {
			clear(s.seen) // what was seen may not have been written
			return err
		}
	}
	s.view, s.next = v, now.Add(summaryEvery)
	return nil
}

type summarySpace struct {
	tenant, namespace uint32
	name              string
}

// space brings the summaries of one namespace up to the view.
func (s *summaries) space(ctx context.Context, v *registry.View, space summarySpace) error {
	tenant, ok := v.TenantName(space.tenant)
	if !ok {
		return nil // the view does not show it yet
	}
	have, err := s.written(space)
	if err != nil {
		return err
	}
	var ops []record.TxnOp
	live := map[string]bool{}
	for sv := range v.Services(tenant, space.name) {
		if sv.LocalCounts.Instances == 0 {
			continue
		}
		name := sv.Key.Name
		live[name] = true
		if s.seen[sv.Key] == sv && have[name] != nil {
			continue
		}
		s.seen[sv.Key] = sv
		value, err := marshal(summaryOf(sv))
		if err != nil {
			return err
		}
		if !bytes.Equal(value, have[name]) {
			ops = append(ops, record.TxnOp{Type: record.TxnPut, Key: space.key(name), Value: value})
		}
	}
	for name := range have {
		if !live[name] {
			delete(s.seen, registry.ServiceKey{Tenant: tenant, Namespace: space.name, Name: name})
			ops = append(ops, record.TxnOp{Type: record.TxnDelete, Key: space.key(name)})
		}
	}
	slices.SortFunc(ops, func(a, b record.TxnOp) int { return cmp.Compare(a.Key.Name, b.Key.Name) })
	for part := range slices.Chunk(ops, summariesAtOnce) {
		txn := &record.Txn{Shard: record.ShardData, Then: part, Writer: record.Writer{Actor: "federation", Message: "summaries"}}
		if _, err := s.f.propose(ctx, record.Op{Type: record.OpTxn, Tenant: space.tenant, Txn: txn}); err != nil {
			return err
		}
	}
	return nil
}

func (s summarySpace) key(name string) record.Key {
	return record.Key{
		Shard: record.ShardData, Tenant: s.tenant, Namespace: s.namespace, Kind: record.KindSummary, Scope: record.ScopeRegion, Name: name,
	}
}

// written reads the summaries of a namespace that are in the store.
func (s *summaries) written(space summarySpace) (map[string][]byte, error) {
	have := map[string][]byte{}
	err := s.f.pinned(func(r state.Reader) error {
		k := space.key("")
		res, err := state.ReadRange(r, record.Range{
			Shard: k.Shard, Tenant: k.Tenant, Namespace: k.Namespace, Kind: k.Kind, Scope: k.Scope,
		}, 0)
		for i := range res.Records {
			have[res.Records[i].Key.Name] = res.Records[i].Value
		}
		return err
	})
	return have, err
}

// summaryOf sums up the instances of this region.
func summaryOf(sv *registry.ServiceView) *pb.CapacitySummary {
	out := &pb.CapacitySummary{Service: sv.Key.Name}
	zones := map[string]*pb.ZoneCapacity{}
	for _, i := range sv.Local() {
		zone := i.Instance.GetZone()
		z := zones[zone]
		if z == nil {
			z = &pb.ZoneCapacity{Zone: zone}
			zones[zone] = z
			out.Zones = append(out.Zones, z)
		}
		z.Instances++
		if i.Health != pb.Health_HEALTH_CRITICAL && !i.Instance.GetDraining() {
			z.Serving++
			z.Weight += uint64(i.Instance.GetWeight())
		}
	}
	slices.SortFunc(out.Zones, func(a, b *pb.ZoneCapacity) int { return cmp.Compare(a.Zone, b.Zone) })
	return out
}
