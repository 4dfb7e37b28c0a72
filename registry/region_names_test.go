package registry

import (
	"strings"
	"testing"

	"supercluster/internal/fault"
	"supercluster/region/record"
)

// A name that two regions have stands for none of them, and each goes by its id. Ids, and old names that one region alone has, stand for
// what they did.
func TestRegions_OneNameForTwo(t *testing.T) {
	s := newStore(t)
	means := func(name string, alias uint32) {
		t.Helper()
		r, ok := s.view.RegionNamed(name)
		if err := s.view.CheckRegionName(name); !ok || r.Alias != alias || err != nil {
			t.Errorf("%q is %+v, %v", name, r, err)
		}
	}
	several := func(name string, aliases ...byte) {
		t.Helper()
		r, ok := s.view.RegionNamed(name)
		err := s.view.CheckRegionName(name)
		if ok || !fault.Is(err, fault.Invalid) {
			t.Errorf("%q is %+v, %v", name, r, err)
			return
		}
		for _, alias := range aliases {
			if !strings.Contains(err.Error(), idOf(alias)) {
				t.Errorf("%q: %v does not name region %d", name, err, alias)
			}
		}
	}
	called := func(alias uint32, want string) {
		t.Helper()
		if r, ok := s.view.RegionAt(alias); !ok || r.Name != want || s.view.RegionLabel(alias, dc(byte(alias))) != want {
			t.Errorf("region %d is called %q, want %q", alias, r.Name, want)
		}
	}
	s.region(t, 2, "x", "dc2", "old")
	s.region(t, 3, "x", "dc3", "old")
	s.region(t, 4, "dc4", "x", "lone")
	several("x", 2, 3)
	several("old", 2, 3)
	for alias := uint32(2); alias <= 3; alias++ {
		called(alias, idOf(byte(alias)))
		means(idOf(byte(alias)), alias)
	}
	means("dc2", 2)
	means("dc3", 3)
	means("lone", 4)

	s.region(t, 3, "dc2") // what was the name of another before
	means("dc2", 3)
	means("x", 2)
	called(2, "x")
	called(3, "dc2")

	s.region(t, 2, testRegion)
	means(testRegion, record.ScopeRegion)
	called(2, idOf(2))
	s.region(t, 2, idOf(3))
	means(idOf(3), 3)
	called(2, idOf(2))
}

func idOf(alias byte) string { return RegionRecordKey(dc(alias)).Name }
