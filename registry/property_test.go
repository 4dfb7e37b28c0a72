package registry

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	pb "supercluster/api/gen/supercluster/v1"
	"supercluster/region/record"
)

// TestView_EventsEqualRecords is invariant I1 over the real store: whatever happens, through this package's
// writes or past them, the view built from the events is the view built from the records left behind.
func TestView_EventsEqualRecords(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		h := &history{store: newStore(t)}
		h.old = h.view
		steps := rapid.IntRange(1, 60).Draw(t, "steps")
		for range steps {
			h.step(t)
		}
		h.flush()
		all := h.records(t)
		for i := len(all) - 1; i > 0; i-- { // the order of kinds must not matter
			j := rapid.IntRange(0, i).Draw(t, "shuffle")
			all[i], all[j] = all[j], all[i]
		}
		requireSame(t, "events and records differ", h.view, Build(testRegion, h.view.At(), slices.Values(all)))
		h.requireIndexes(t)
		h.requireRevisions(t, all)
	})
}

// history makes random writes. Its view moves now and then, by many commits at once.
type history struct {
	*store
	old     *View // a view from before, as another node may have it
	pending []record.Commit
}

func (h *history) flush() {
	h.old = h.view
	h.view, _ = h.view.Next(h.pending)
	h.pending = nil
}

func (h *history) propose(t *rapid.T, op record.Op, err error) {
	if err != nil {
		return // unknown names, missing instances: nothing to write
	}
	h.pending = append(h.pending, h.apply(t, op).Commits...)
	if rapid.Bool().Draw(t, "publish") {
		h.flush()
	}
}

var (
	someTenants    = []string{"default", "acme", "umbra"}
	someNamespaces = []string{"default", "shop", "pay"}
	someServices   = []string{"web", "db", "api"}
	someIDs        = []string{"a", "b", "10.0.0.1-80"}
	someTags       = []string{"v1", "v2", "primary"}
	someZones      = []string{"", "z1", "z2"}
	someChecks     = []string{"http", "tcp", "alive"}
)

func pick(t *rapid.T, what string, from []string) string {
	return rapid.SampledFrom(from).Draw(t, what)
}

func (h *history) step(t *rapid.T) {
	v := h.view
	if rapid.Bool().Draw(t, "stale") {
		v = h.old
	}
	tenant, namespace := pick(t, "tenant", someTenants), pick(t, "namespace", someNamespaces)
	k := ServiceOf(tenant, namespace, pick(t, "service", someServices)).Instance(pick(t, "id", someIDs))
	switch rapid.IntRange(0, 14).Draw(t, "step") {
	case 0:
		op, _, err := CreateTenantOp(&pb.Tenant{Name: tenant}, [16]byte{byte(h.index + 1)}, Write{})
		h.propose(t, op, err)
	case 1:
		op, err := DeleteTenantOp(tenant, Write{})
		h.propose(t, op, err)
	case 2:
		op, _, err := CreateNamespaceOp(v, &pb.Namespace{Tenant: tenant, Name: namespace}, Write{})
		h.propose(t, op, err)
	case 3:
		op, err := DeleteNamespaceOp(v, tenant, namespace, Write{})
		h.propose(t, op, err)
	case 4, 5, 6:
		op, _, err := RegisterOp(v, drawInstance(t, k), Write{})
		h.propose(t, op, err)
	case 7:
		op, err := DeregisterOp(v, k, Write{})
		h.propose(t, op, err)
	case 8:
		op, err := DrainOp(v, k, time.UnixMilli(int64(h.index)), Write{})
		h.propose(t, op, err)
	case 9, 10:
		h.status(t, v, k)
	case 11:
		h.placed(t, v, k.Service)
	case 12:
		op, err := PutNodeOp(&pb.Node{Name: pick(t, "node", someIDs[:2]), Replica: h.index}, Write{})
		h.propose(t, op, err)
	case 13:
		alias := uint32(rapid.IntRange(1, 3).Draw(t, "alias"))
		op, err := PutRegionOp(&pb.Region{
			Id: RegionRecordKey([16]byte{byte(alias)}).Name, Name: pick(t, "region name", []string{"dc2", "dc3", "dc4"}),
		}, alias, Write{})
		h.propose(t, op, err)
	default:
		h.raw(t, v, k)
	}
}

func drawInstance(t *rapid.T, k InstanceKey) *pb.Instance {
	in := &pb.Instance{
		Tenant: k.Service.Tenant, Namespace: k.Service.Namespace, Service: k.Service.Name, Id: k.ID,
		Address: fmt.Sprintf("10.0.0.%d", rapid.IntRange(1, 3).Draw(t, "address")), Port: 80,
		Zone:     pick(t, "zone", someZones),
		Tags:     rapid.SliceOfN(rapid.SampledFrom(someTags), 0, 3).Draw(t, "tags"),
		Draining: rapid.Bool().Draw(t, "draining"),
	}
	if rapid.Bool().Draw(t, "named port") {
		in.Ports = map[string]uint32{"admin": 9000}
	}
	for _, id := range someChecks {
		if rapid.Bool().Draw(t, "check "+id) {
			in.Checks = append(in.Checks, &pb.Check{Id: id, Type: pb.CheckType_CHECK_TYPE_TCP})
		}
	}
	return in
}

func (h *history) status(t *rapid.T, v *View, k InstanceKey) {
	i, ok := v.Instance(k)
	if !ok {
		return
	}
	op, err := CheckStatusOp(i, &pb.CheckStatus{
		CheckId: pick(t, "check", someChecks), Health: pb.Health(rapid.IntRange(1, 3).Draw(t, "health")),
	}, Write{})
	h.propose(t, op, err)
}

func (h *history) placed(t *rapid.T, v *View, k ServiceKey) {
	var (
		op  record.Op
		err error
	)
	switch rapid.IntRange(0, 3).Draw(t, "placed") {
	case 0:
		op, _, err = PutServiceOp(v, &pb.Service{Tenant: k.Tenant, Namespace: k.Namespace, Name: k.Name}, 0, Write{})
	case 1:
		op, err = DeleteServiceOp(v, k, 0, Write{})
	case 2:
		op, _, err = PutRouteOp(v, &pb.Route{
			Tenant: k.Tenant, Namespace: k.Namespace, Name: k.Name, Hosts: []string{"*"}, Service: k.Name,
		}, 0, Write{})
	default:
		op, err = DeleteRouteOp(v, RouteKey(k), 0, Write{})
	}
	h.propose(t, op, err)
}

// raw writes past this package: garbage, statuses and checks without an instance, deletes of one record only.
func (h *history) raw(t *rapid.T, v *View, k InstanceKey) {
	tenantID, namespaceID, ok := v.NamespaceIDs(k.Service.Tenant, k.Service.Namespace)
	if !ok {
		return
	}
	kind := rapid.SampledFrom([]record.Kind{
		record.KindService, record.KindInstance, record.KindCheck, record.KindCheckStatus, record.KindRoute, record.KindSummary, 999,
	}).Draw(t, "kind")
	name := pick(t, "name", []string{
		k.Service.Name, InstanceName(k.Service.Name, k.ID), CheckName(k.Service.Name, k.ID, someChecks[0]), "a//b", "\x00/\xff",
	})
	key := spaceID{tenantID, namespaceID}.key(kind, name)
	op := put(key, []byte(pick(t, "value", []string{"", "garbage", "\x08\x01", "\x2a\x0810.0.0.9\x30\x51"})))
	if rapid.Bool().Draw(t, "delete") {
		op = remove(key)
	}
	h.propose(t, Write{}.txn(tenantID, record.ShardData, nil, []record.TxnOp{op}, nil), nil)
}

// requireIndexes checks every index of the view against a plain walk over all instances.
func (h *history) requireIndexes(t *rapid.T) {
	total := 0
	for tenant := range h.view.Tenants() {
		for ns := range h.view.Namespaces(tenant.GetName()) {
			total += h.requireNamespace(t, tenant.GetName(), ns.GetName())
		}
	}
	if total != h.view.InstanceCount() {
		t.Fatalf("InstanceCount = %d, the services hold %d", h.view.InstanceCount(), total)
	}
}

func (h *history) requireNamespace(t *rapid.T, tenant, namespace string) int {
	var all []*InstanceView
	for s := range h.view.Services(tenant, namespace) {
		all = append(all, s.Instances...)
	}
	for _, f := range []Filter{
		{},
		{Tag: "v1"},
		{Zone: "z1"},
		{Health: pb.Health_HEALTH_CRITICAL},
		{Service: "web"},
		{Service: "web", Tag: "v1"},
		{Service: "db", Zone: "z2"},
		{Service: "api", Health: pb.Health_HEALTH_PASSING},
		{Tag: "v2", Zone: "z1", Health: pb.Health_HEALTH_PASSING},
		{Service: "none"},
	} {
		want := slices.DeleteFunc(slices.Clone(all), func(i *InstanceView) bool { return !f.Selects(i) })
		if got := slices.Collect(h.view.Instances(tenant, namespace, f)); !slices.Equal(got, want) {
			t.Fatalf("Instances(%+v) gives %d instances, a walk %d", f, len(got), len(want))
		}
	}
	for _, tag := range someTags {
		var want []string
		for s := range h.view.Services(tenant, namespace) {
			if slices.Contains(s.Tags(), tag) {
				want = append(want, s.Key.Name)
			}
		}
		var got []string
		for s := range h.view.ServicesTagged(tenant, namespace, tag) {
			got = append(got, s.Key.Name)
		}
		if !slices.Equal(got, want) {
			t.Fatalf("ServicesTagged(%q) = %q, want %q", tag, got, want)
		}
	}
	return len(all)
}

// requireRevisions checks that no service claims to be older than a record of it.
func (h *history) requireRevisions(t *rapid.T, all []record.Record) {
	built := Build(testRegion, h.view.At(), slices.Values(all))
	for s := range h.view.AllServices() {
		b, _ := built.Service(s.Key)
		if s.Revision < b.Revision || s.Revision > h.view.At().Data {
			t.Fatalf("service %v is at revision %d, its newest record at %d, the view at %d",
				s.Key, s.Revision, b.Revision, h.view.At().Data)
		}
	}
}

// TestView_AnyOrder is invariant I1 past what the store allows: namespaces and tenants come after what they
// hold, go before it, and change their ids.
func TestView_AnyOrder(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		live := map[record.Key]record.Record{}
		v := Empty(testRegion)
		var commits []record.Commit
		steps := rapid.IntRange(1, 40).Draw(t, "steps")
		for n := range steps {
			revision := uint64(n + 2)
			e := drawEvent(t, revision)
			if e.Type == record.EventPut {
				live[e.Record.Key] = e.Record
			} else {
				delete(live, e.Record.Key)
			}
			commits = append(commits, record.Commit{
				Position: record.Position{Shard: e.Record.Key.Shard, Revision: revision}, Events: []record.Event{e},
			})
			if rapid.Bool().Draw(t, "publish") {
				v, _ = v.Next(commits)
				commits = commits[max(0, len(commits)-1):] // one comes twice: it must not matter
			}
		}
		v, _ = v.Next(commits)
		var all []record.Record
		for _, r := range live {
			all = append(all, r)
		}
		requireSame(t, "events and records differ", v, Build(testRegion, v.At(), slices.Values(all)))
	})
}

// drawEvent makes an event of tenants 1..2 and namespaces 1..2 of each, whose ids and names go together.
func drawEvent(t *rapid.T, revision uint64) record.Event {
	tenant, ns := uint32(rapid.IntRange(1, 2).Draw(t, "tenant")), uint32(rapid.IntRange(1, 2).Draw(t, "namespace"))
	space := spaceID{tenant, ns}
	r := record.Record{ModifyRevision: revision, CreateRevision: revision, Version: 1}
	// Regional records are of this region or of others, whose region records come when they like.
	regional := func(kind record.Kind, name string) record.Key {
		k := space.key(kind, name)
		if k.Scope = uint32(rapid.IntRange(1, 3).Draw(t, "scope")); k.Scope > record.ScopeRegion {
			r.Origin = record.Origin{Home: [16]byte{byte(k.Scope)}, OwnerEpoch: 1, HomeRevision: revision + 100, FeedSequence: revision}
		}
		return k
	}
	placed := func() {
		if rapid.Bool().Draw(t, "imported") {
			r.Origin = record.Origin{Home: [16]byte{2}, HomeRevision: revision + 100}
		}
	}
	switch rapid.IntRange(0, 9).Draw(t, "kind") {
	case 0:
		// A tenant made again has another id; the number is never given to another name.
		r.Attributes.Flags = uint64(tenant + 2*uint32(rapid.IntRange(0, 1).Draw(t, "again")))
		r.Key = record.Key{Kind: record.KindTenant, Name: fmt.Sprintf("t%d", tenant)}
	case 1:
		r.Attributes.Flags = uint64(ns)
		r.Key = record.Key{Tenant: tenant, Kind: record.KindNamespace, Name: fmt.Sprintf("n%d", ns)}
	case 2:
		name := pick(t, "instance", []string{"web/a", "web/b", "db/a"})
		r.Key, r.Value = regional(record.KindInstance, name), []byte("\x2a\x0810.0.0.9\x30\x51")
	case 3:
		r.Key = regional(record.KindCheck, "web/a/tcp")
	case 4:
		r.Key, r.Value = regional(record.KindCheckStatus, "web/a/tcp"), []byte("\x10\x01")
	case 5:
		r.Key = space.key(record.KindRoute, "r")
		placed()
	case 6, 7:
		drawRegion(t, &r)
	case 8:
		name := pick(t, "summary", []string{"web", "db", "we/b"})
		r.Key, r.Value = regional(record.KindSummary, name), []byte("\x12\x04\x0a\x02z1")
	default:
		r.Key = space.key(record.KindService, "web")
		placed()
	}
	if rapid.IntRange(0, 9).Draw(t, "garbage") == 0 {
		r.Value = []byte("\xff")
	}
	if rapid.IntRange(0, 3).Draw(t, "delete") == 0 {
		return record.Event{Type: record.EventDelete, Record: record.Record{Key: r.Key, ModifyRevision: revision}}
	}
	return record.Event{Type: record.EventPut, Record: r}
}

// TestView_OldViewsStay is invariant I2: a view does not change by what comes after it.
func TestView_OldViewsStay(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		h := &history{store: newStore(t)}
		h.old = h.view
		type kept struct {
			view *View
			text string
		}
		var all []kept
		for range rapid.IntRange(1, 25).Draw(t, "steps") {
			h.step(t)
			all = append(all, kept{h.view, dump(h.view)})
		}
		h.flush()
		for n, k := range all {
			if now := dump(k.view); now != k.text {
				t.Fatalf("view %d changed: %s", n, firstDifference(now, k.text))
			}
		}
	})
}

// FuzzView feeds any bytes as names and values: no record may stop a commit.
func FuzzView(f *testing.F) {
	f.Add(uint16(record.KindInstance), "web/a", []byte("\x2a\x0810.0.0.9\x30\x51"), uint64(0))
	f.Add(uint16(record.KindNamespace), "shop", []byte{}, uint64(7))
	f.Add(uint16(record.KindCheckStatus), "web/a/http", []byte("\x10\x01"), uint64(0))
	f.Add(uint16(record.KindRegion), "02000000000000000000000000000000", []byte("\x12\x03dc2"), uint64(2))
	f.Fuzz(func(t *testing.T, kind uint16, name string, value []byte, flags uint64) {
		s := newStore(t)
		s.register(t, web("a"))
		k := spaceID{1, 1}.key(record.Kind(kind), name)
		if record.Kind(kind) <= record.KindRegion {
			k.Shard, k.Namespace = record.ShardSystem, 0
		}
		if record.Kind(kind) == record.KindRegion {
			k.Tenant, k.Scope = 0, record.ScopeRegion
		}
		r := record.Record{Key: k, Value: value, ModifyRevision: 1000, Attributes: record.Attributes{Flags: flags}}
		v, _ := s.view.Next([]record.Commit{{
			Position: record.Position{Shard: k.Shard, Revision: 1000},
			Events:   []record.Event{{Type: record.EventPut, Record: r}},
		}})
		_ = dump(v)
		after, _ := v.Next([]record.Commit{{
			Position: record.Position{Shard: k.Shard, Revision: 1001},
			Events:   []record.Event{{Type: record.EventDelete, Record: record.Record{Key: k, ModifyRevision: 1001}}},
		}})
		if after.Undecodable() != 0 {
			t.Fatalf("%d records count as undecodable after the only one was deleted", after.Undecodable())
		}
	})
}
