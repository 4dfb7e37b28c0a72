package ir

import (
	"fmt"
	"reflect"
	"testing"
	"time"

	pb "supercluster/api/gen/supercluster/v1"
	"supercluster/federation/plan"
	"supercluster/region/record"
	"supercluster/registry"
)

// foreign puts an instance of another region.
func (f *fixture) foreign(service string, alias uint32) {
	k := record.Key{
		Shard: record.ShardData, Tenant: 1, Namespace: 1, Kind: record.KindInstance, Scope: alias, Name: registry.InstanceName(service, "1"),
	}
	f.put(k, 0, &pb.Instance{Address: fmt.Sprintf("10.%d.0.1", alias), Port: 80})
}

// peers writes the records of regions dc2, dc3, ... with the aliases 2, 3, ...
func (f *fixture) peers(n int) {
	for alias := 2; alias < 2+n; alias++ {
		f.put(registry.RegionRecordKey([16]byte{byte(alias)}), uint64(alias), &pb.Region{Name: fmt.Sprintf("dc%d", alias)})
	}
}

// reachOf is a Reach with the costs of regions dc2, dc3, ... in milliseconds.
func reachOf(costs ...int) *plan.Reach {
	r := &plan.Reach{}
	for n, cost := range costs {
		r.Regions = append(r.Regions, plan.RegionReach{ID: [16]byte{byte(n + 2)}, Cost: time.Duration(cost) * time.Millisecond})
	}
	return r
}

func away(r *plan.Reach, alias byte) *plan.Reach {
	next := &plan.Reach{Island: r.Island, Regions: append([]plan.RegionReach(nil), r.Regions...)}
	for n := range next.Regions {
		if next.Regions[n].ID == [16]byte{alias} {
			next.Regions[n].State = plan.StateAway
		}
	}
	return next
}

// order gives the regions of a cluster's tiers.
func order(m *Mesh, cluster string) string {
	text := ""
	for _, tier := range m.Endpoints(cluster).Tiers {
		text += tier.Localities[0].Region + " "
	}
	return text
}

// Only what a change touches is planned again: counted, not timed.
func TestStep_CountsWhatIsPlanned(t *testing.T) {
	f := newFixture(t)
	f.peers(3) // dc2, dc3, dc4
	for n := range 50 {
		f.instance("default", fmt.Sprintf("local%d", n), 80)
		f.foreign(fmt.Sprintf("two%d", n), 2)
		f.foreign(fmt.Sprintf("both%d", n), 2)
		f.foreign(fmt.Sprintf("both%d", n), 3)
		f.foreign(fmt.Sprintf("all%d", n), 2)
		f.foreign(fmt.Sprintf("all%d", n), 3)
		f.foreign(fmt.Sprintf("all%d", n), 4)
	}
	f.reach = reachOf(10, 20, 30)
	m := f.built()
	steps := []struct {
		what string
		do   func()
		want int
		all0 string
	}{
		{"nothing", func() {}, 0, "dc2 dc3 dc4 "},
		{"one health flip", func() { f.foreign("all0", 2) }, 1, "dc2 dc3 dc4 "},
		{"costs move, the order stays", func() { f.reach = reachOf(11, 19, 35) }, 0, "dc2 dc3 dc4 "},
		{"a region is away", func() { f.reach = away(f.reach, 2) }, 100, "dc3 dc4 dc2 "},
		{"and it is back", func() { f.reach = reachOf(11, 19, 35) }, 100, "dc2 dc3 dc4 "},
		{"a region that only some have", func() { f.reach = reachOf(11, 19, 15) }, 50, "dc2 dc4 dc3 "},
		{"the last one goes", func() { f.reach = away(f.reach, 3) }, 0, "dc2 dc4 dc3 "},
		{"an island demotes nobody", func() { f.reach = away(f.reach, 2); f.reach.Island = true }, 0, "dc2 dc4 dc3 "},
		{"no longer an island", func() { f.reach = away(f.reach, 2); f.reach.Island = false }, 50, "dc4 dc2 dc3 "}, // dc3 is away too
	}
	for _, s := range steps {
		s.do()
		d := f.step(m)
		if got := order(m, "all0"); d.Planned != s.want || len(d.Endpoints) != s.want || got != s.all0 {
			t.Errorf("%s: planned %d services, want %d; %d endpoints; order %s", s.what, d.Planned, s.want, len(d.Endpoints), got)
		}
		if fresh := f.built(); !reflect.DeepEqual(m.endpoints, fresh.endpoints) || !reflect.DeepEqual(m.foreign, fresh.foreign) {
			t.Fatalf("%s: the step gave another form than building", s.what)
		}
	}
}
