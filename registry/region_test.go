package registry

import (
	"errors"
	"slices"
	"strings"
	"testing"

	"google.golang.org/protobuf/proto"
	"pgregory.net/rapid"

	pb "supercluster/api/gen/supercluster/v1"
	"supercluster/internal/fault"
	"supercluster/region/record"
)

// dc is the id of a peer, whose alias is the same number.
func dc(n byte) [16]byte { return [16]byte{n} }

// imported makes the commit of records that the import of another region wrote.
func (s *store) imported(t failer, records ...record.Record) {
	t.Helper()
	revision := s.view.At().Data + 1
	var events []record.Event
	for _, r := range records {
		r.CreateRevision, r.ModifyRevision, r.Version = revision, revision, 1
		kind := record.EventPut
		if r.Deleted {
			kind, r = record.EventDelete, record.Record{Key: r.Key, ModifyRevision: revision, Deleted: true}
		}
		events = append(events, record.Event{Type: kind, Record: r})
	}
	s.view, s.changes = s.view.Next([]record.Commit{{
		Position: record.Position{Shard: record.ShardData, Revision: revision}, Events: events,
	}})
}

// foreign makes a record of another region, changed there at a revision.
func foreign(t failer, alias uint32, kind record.Kind, name string, at uint64, m proto.Message) record.Record {
	t.Helper()
	value, err := encode(m)
	if err != nil {
		t.Fatalf("encode: %v", err)
	}
	k := spaceID{1, 1}.key(kind, name)
	k.Scope = alias
	return record.Record{Key: k, Value: value, Origin: record.Origin{Home: dc(byte(alias)), OwnerEpoch: 1, HomeRevision: at, FeedSequence: 7, Incarnation: 3}}
}

func (s *store) region(t failer, alias uint32, name string, aliases ...string) {
	t.Helper()
	op, err := PutRegionOp(&pb.Region{Id: RegionRecordKey(dc(byte(alias))).Name, Name: name, Aliases: aliases}, alias, Write{})
	if err != nil {
		t.Fatalf("region: %v", err)
	}
	s.must(t, op)
}

func names(s *ServiceView) string {
	var all []string
	for _, i := range s.Instances {
		all = append(all, i.Instance.GetRegion()+"/"+i.Key.ID)
	}
	return strings.Join(all, " ")
}

func TestRegions_InstancesOfOthersStandBesideOurs(t *testing.T) {
	s := newStore(t)
	s.region(t, 2, "dc2")
	s.register(t, web("a"))
	s.register(t, web("z"))
	s.imported(t,
		foreign(t, 2, record.KindInstance, "web/a", 500, &pb.Instance{Address: "10.2.0.1", Port: 80, Zone: "z1", Tags: []string{"v2"}}),
		foreign(t, 2, record.KindCheck, "web/a/tcp", 501, tcpCheck("tcp")),
		foreign(t, 3, record.KindInstance, "web/a", 9, &pb.Instance{Address: "10.0.0.1", Port: 80}),
	)
	k := ServiceOf("", "", "web")
	sv, _ := s.view.Service(k)
	if got, want := names(sv), "dc1/a dc1/z dc2/a "+RegionRecordKey(dc(3)).Name+"/a"; got != want {
		t.Fatalf("instances %s, want %s", got, want)
	}
	if want := (Counts{Instances: 4, Passing: 3, Critical: 1}); sv.Counts != want {
		t.Errorf("counts %+v, want %+v", sv.Counts, want)
	}
	if want := (Counts{Instances: 2, Passing: 2}); sv.LocalCounts != want || len(sv.Local()) != 2 || s.view.InstanceCount() != 4 {
		t.Errorf("local %+v of %d, in all %d", sv.LocalCounts, len(sv.Local()), s.view.InstanceCount())
	}
	if got := sv.Regions(); !slices.Equal(got, []string{"dc1", "dc2", RegionRecordKey(dc(3)).Name}) {
		t.Errorf("regions %q", got)
	}
	mine, _ := s.view.Instance(k.Instance("a"))
	theirs, ok := s.view.Instance(k.InstanceIn(2, "a"))
	if !ok || mine == theirs || mine.Origin != nil || theirs.Origin.Home != dc(2) || theirs.SourceRevision != 501 || mine.SourceRevision != mine.ModifyRevision {
		t.Fatalf("ours %+v, theirs %+v", mine, theirs)
	}
	s.imported(t, foreign(t, 2, record.KindCheckStatus, "web/a/tcp", 640, &pb.CheckStatus{Health: passing}))
	theirs, _ = s.view.Instance(k.InstanceIn(2, "a"))
	if theirs.Health != passing || theirs.SourceRevision != 640 || theirs.Answer().GetSource().GetIncarnation() != 3 {
		t.Errorf("after its check passed: %v at %d", theirs.Health, theirs.SourceRevision)
	}
	if a := theirs.Answer(); a.GetRegion() != "dc2" || a.GetMeta().GetRegion() != "dc2" || a.GetSource().GetRegion() != "dc2" || a.GetSource().GetRevision() != 640 {
		t.Errorf("answer %v", a)
	}
	got := slices.Collect(s.view.Instances("default", "default", Filter{Tag: "v2"}))
	if len(got) != 1 || got[0] != theirs {
		t.Errorf("by tag: %v", got)
	}
	gone := foreign(t, 2, record.KindInstance, "web/a", 0, &pb.Instance{})
	gone.Deleted = true
	s.imported(t, gone)
	if sv, _ = s.view.Service(k); names(sv) != "dc1/a dc1/z "+RegionRecordKey(dc(3)).Name+"/a" {
		t.Errorf("after it left: %s", names(sv))
	}
}

// A name that comes late, changes or goes is on every instance of the region in the same step, and the services that
// show it count as changed.
func TestRegions_RenamingRelabels(t *testing.T) {
	s := newStore(t)
	s.imported(t,
		foreign(t, 2, record.KindInstance, "web/a", 1, &pb.Instance{Address: "10.2.0.1", Port: 80}),
		foreign(t, 3, record.KindInstance, "db/a", 1, &pb.Instance{Address: "10.3.0.1", Port: 80}),
	)
	web, db := ServiceOf("", "", "web"), ServiceOf("", "", "db")
	before, _ := s.view.Service(db)
	requireLabel := func(want string) {
		t.Helper()
		i, ok := s.view.Instance(web.InstanceIn(2, "a"))
		if !ok || i.Instance.GetRegion() != want {
			t.Fatalf("region %q, want %q", i.Instance.GetRegion(), want)
		}
		if _, touched := s.changes.Services[web]; !touched || !s.changes.Regions || len(s.changes.Services) != 1 {
			t.Errorf("changes %+v", s.changes)
		}
	}
	s.region(t, 2, "dc2")
	requireLabel("dc2")
	s.region(t, 2, "paris", "dc2")
	requireLabel("paris")
	for _, name := range []string{"paris", "dc2", RegionRecordKey(dc(2)).Name} {
		if r, ok := s.view.RegionNamed(name); !ok || r.Alias != 2 || r.Name != "paris" {
			t.Errorf("RegionNamed(%q) = %+v, %v", name, r, ok)
		}
	}
	s.must(t, Write{}.txn(0, record.ShardSystem, nil, []record.TxnOp{remove(RegionRecordKey(dc(2)))}, nil))
	requireLabel(RegionRecordKey(dc(2)).Name)
	if after, _ := s.view.Service(db); after != before {
		t.Error("a service of no such region was made anew")
	}
	s.region(t, 2, "paris")
	s.region(t, 2, "paris", "lutetia")
	if len(s.changes.Services) != 0 || !s.changes.Regions {
		t.Errorf("another alias alone changes %+v", s.changes)
	}
}

// This region goes by the name it was started with; its own record and those of others that use its name change nothing.
func TestRegions_OurNameIsOurs(t *testing.T) {
	s := newStore(t)
	s.register(t, web("a"))
	s.region(t, 1, "renamed")
	s.region(t, 2, testRegion)
	i, _ := s.view.Instance(ServiceOf("", "", "web").Instance("a"))
	if i.Instance.GetRegion() != testRegion || s.view.Region() != testRegion {
		t.Errorf("region %q of %q", i.Instance.GetRegion(), s.view.Region())
	}
	for _, name := range []string{testRegion, "renamed"} {
		if r, ok := s.view.RegionNamed(name); !ok || !r.IsLocal() || r.ID != dc(1) {
			t.Errorf("RegionNamed(%q) = %+v", name, r)
		}
	}
	s.region(t, 2, "dc2") // one alias for two regions: a mistake, in which the lower id counts
	s.must(t, made(t)(PutRegionOp(&pb.Region{Id: RegionRecordKey(dc(9)).Name, Name: "dc9"}, 2, Write{})))
	var all []string
	for r := range s.view.Regions() {
		all = append(all, r.Name)
	}
	if !slices.Equal(all, []string{testRegion, "dc2"}) {
		t.Errorf("regions %q", all)
	}
	if s.view.RegionLabel(9, [16]byte{}) != "region-9" {
		t.Errorf("an alias nobody knows is %q", s.view.RegionLabel(9, [16]byte{}))
	}
}

// What another region owns is never written: the store's keys of every operation are this region's.
func TestRegions_WritesTouchOnlyOurs(t *testing.T) {
	s := newStore(t)
	s.region(t, 2, "dc2")
	s.imported(t,
		foreign(t, 2, record.KindInstance, "web/b", 5, &pb.Instance{Address: "10.2.0.1", Port: 80, Draining: true}),
		foreign(t, 2, record.KindCheck, "web/b/tcp", 5, tcpCheck("tcp")),
	)
	k := ServiceOf("", "", "web")
	theirs, _ := s.view.Instance(k.InstanceIn(2, "b"))
	_, err := DeregisterOp(s.view, theirs.Key, Write{})
	requireNotHome(t, "deregister", err)
	_, err = DrainOp(s.view, theirs.Key, theirs.DrainUntil, Write{})
	requireNotHome(t, "drain", err)
	_, err = RemoveDrainedOp(theirs, Write{})
	requireNotHome(t, "remove drained", err)
	_, err = CheckStatusOp(theirs, &pb.CheckStatus{CheckId: "tcp", Health: passing}, Write{})
	requireNotHome(t, "check status", err)

	_, err = s.run(t, made(t)(DeregisterOp(s.view, k.Instance("b"), Write{})))
	if !fault.Is(err, fault.NotFound) {
		t.Errorf("deregister what only they have: %v", err)
	}
	requireNotHome(t, "who has it", s.view.NotHere(k.Instance("b")))
	if err := s.view.NotHere(k.Instance("nobody")); err != nil {
		t.Errorf("nobody has it: %v", err)
	}
	s.register(t, web("b"))
	s.must(t, made(t)(DeregisterOp(s.view, k.Instance("b"), Write{})))
	if now, ok := s.view.Instance(theirs.Key); !ok || now != theirs {
		t.Error("deregistering ours changed theirs")
	}
}

func requireNotHome(t *testing.T, what string, err error) {
	t.Helper()
	if !fault.Is(err, fault.NotHome) || !strings.Contains(err.Error(), `"dc2"`) {
		t.Errorf("%s: %v", what, err)
	}
}

func TestRegions_PlacedRecordsShowTheirHome(t *testing.T) {
	s := newStore(t)
	s.region(t, 2, "dc2")
	r := foreign(t, record.ScopePlaced, record.KindService, "web", 77, &pb.Service{})
	r.Origin.Home = dc(2)
	route := foreign(t, record.ScopePlaced, record.KindRoute, "shop", 78, &pb.Route{})
	route.Origin.Home = dc(3)
	s.imported(t, r, route)
	sv, _ := s.view.Service(ServiceOf("", "", "web"))
	rv, _ := s.view.Route("default", "default", "shop")
	if got := s.view.HomeOf(sv.DefinitionOrigin); got != "dc2" || sv.DefinitionOrigin.HomeRevision != 77 {
		t.Errorf("definition of %q at %+v", got, sv.DefinitionOrigin)
	}
	if got := s.view.HomeOf(rv.Origin); got != RegionRecordKey(dc(3)).Name || s.view.HomeOf(nil) != testRegion {
		t.Errorf("route of %q", got)
	}
}

func TestPutRegionOp_Refuses(t *testing.T) {
	id := RegionRecordKey(dc(2)).Name
	tests := []struct {
		field string
		in    *pb.Region
		alias uint32
	}{
		{"region.id", &pb.Region{Id: "dc2", Name: "dc2"}, 2},
		{"region.id", &pb.Region{Id: strings.ToUpper("AA" + id[2:]), Name: "dc2"}, 2},
		{"region.alias", &pb.Region{Id: id, Name: "dc2"}, 0},
		{"region.name", &pb.Region{Id: id}, 2},
		{"region.name", &pb.Region{Id: id, Name: "global"}, 2},
		{"region.name", &pb.Region{Id: id, Name: "addr"}, 2},
		{"region.aliases[1]", &pb.Region{Id: id, Name: "dc2", Aliases: []string{"old", "ns"}}, 2},
		{"region.addresses[0]", &pb.Region{Id: id, Name: "dc2", Addresses: []string{"nowhere"}}, 2},
	}
	for _, tt := range tests {
		_, err := PutRegionOp(tt.in, tt.alias, Write{})
		if f := new(fault.Error); !errors.As(err, &f) || f.Field != tt.field {
			t.Errorf("%v: %v, want %s", tt.in, err, tt.field)
		}
	}
}

// drawRegion makes the record of a region. Names and aliases are not kept apart, as in a store that two regions of one
// name, or a mistake, have reached.
func drawRegion(t *rapid.T, r *record.Record) {
	r.Key = RegionRecordKey([16]byte{byte(rapid.IntRange(1, 3).Draw(t, "region"))})
	r.Attributes.Flags = uint64(rapid.IntRange(1, 3).Draw(t, "alias"))
	value, err := encode(&pb.Region{
		Name:    pick(t, "name", []string{testRegion, "dc2", "dc3", "global", "", "Not A Name"}),
		Aliases: rapid.SliceOfN(rapid.SampledFrom([]string{"old", "dc2", "ns"}), 0, 2).Draw(t, "aliases"),
	})
	if err != nil {
		t.Fatal(err)
	}
	r.Value = value
}
