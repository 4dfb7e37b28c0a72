package plan

import (
	"strings"
	"testing"
)

func TestFor_Regions(t *testing.T) {
	here := instance{id: "a", address: "10.1.0.1", port: 80, zone: "z1", weight: 10}
	sick := instance{id: "a", address: "10.1.0.1", port: 80, zone: "z1", weight: 10, health: health(down)}
	two := instance{id: "a", address: "10.2.0.1", port: 80, zone: "z1", weight: 10, scope: 3} // dc2
	twoSick := instance{id: "s", address: "10.2.0.2", port: 80, weight: 10, scope: 3, health: health(down)}
	twoDrains := instance{id: "d", address: "10.2.0.3", port: 80, weight: 10, scope: 3, draining: true}
	nine := instance{id: "n", address: "10.9.0.1", port: 80, weight: 10, scope: 2} // dc9
	stolen := instance{id: "x", address: "10.1.0.1", port: 80, weight: 10, scope: 3}
	const lastKnown = "those last known get the requests, since it is not fail-closed"
	const tierHere, tierTwo, tierNine = "dc1/z1*10: a=10.1.0.1:80*10", "dc2/z1*10: a=10.2.0.1:80*10", "dc9/*10: n=10.9.0.1:80*10"
	tests := []struct {
		name  string
		all   []instance
		query Query
		want  []string
	}{
		{
			"here first, then by name of region",
			[]instance{here, two, twoSick, twoDrains, nine},
			Query{},
			[]string{
				"tier 0", "  " + tierHere, "tier 1", "  " + tierTwo, "tier 2", "  " + tierNine, "draining d=10.2.0.3:80*10",
				`excluded s: check "http" is critical`,
				`local: 1 of 1 instances in region "dc1"; then "dc2" 1 of 3, "dc9" 1 of 1`,
			},
		},
		{
			"the others move up",
			[]instance{sick, two, nine},
			Query{},
			[]string{
				"tier 0", "  " + tierTwo, "tier 1", "  " + tierNine, `excluded a: check "http" is critical`,
				`failover: none of 1 instances in region "dc1" is healthy and stays; "dc2" 1 of 1, "dc9" 1 of 1`,
			},
		},
		{
			"a service of elsewhere",
			[]instance{nine},
			Query{},
			[]string{"tier 0", "  " + tierNine, `failover: the service has no instance in region "dc1"; "dc9" 1 of 1`},
		},
		{
			"nobody is healthy: what was last known",
			[]instance{sick, twoSick, {id: "new", address: "10.2.0.7", port: 80, scope: 3, health: health(unknown)}},
			Query{},
			[]string{
				"tier 0 last known", "  " + tierHere, "tier 1 last known", "  dc2/*10: s=10.2.0.2:80*10", `excluded new: check "http": not checked yet`,
				`local: none of 1 instances in region "dc1" is healthy and stays, nor elsewhere: "dc2" 0 of 2; ` + lastKnown,
			},
		},
		{
			"one region",
			[]instance{here, two, twoSick, nine},
			Query{Region: "dc2"},
			[]string{
				"tier 0", "  " + tierTwo, `excluded a: it is in region "dc1", not in "dc2"`, `excluded s: check "http" is critical`,
				`excluded n: it is in region "dc9", not in "dc2"`, `one region: 1 of 2 instances in region "dc2"`,
			},
		},
		{
			"one region by a name it had",
			[]instance{here, nine},
			Query{Region: "old-dc9"},
			[]string{
				"tier 0", "  " + tierNine, `excluded a: it is in region "dc1", not in "dc9"`, `one region: 1 of 1 instances in region "dc9"`,
			},
		},
		{
			"this region alone does not fail over",
			[]instance{sick, two},
			Query{Region: "dc1"},
			[]string{
				"tier 0 last known", "  " + tierHere, `excluded a: it is in region "dc2", not in "dc1"`,
				`one region: none of 1 instances in region "dc1" is healthy and stays; ` + lastKnown,
			},
		},
		{
			"a region that has none",
			[]instance{here},
			Query{Region: "dc3"},
			[]string{`excluded a: it is in region "dc1", not in "dc3"`, `one region: the service has no instance in region "dc3"`},
		},
		{
			"all regions",
			[]instance{sick, two, nine},
			Query{AllRegions: true},
			[]string{
				"tier 0", "  " + tierTwo, "tier 1", "  " + tierNine, `excluded a: check "http" is critical`,
				`all regions, nearest first: "dc1" 0 of 1, "dc2" 1 of 1, "dc9" 1 of 1`,
			},
		},
		{
			"an address of ours in another region",
			[]instance{here, stolen},
			Query{},
			[]string{
				"tier 0", "  " + tierHere, `excluded x: instance "a" of region "dc1", which is nearer, has the same address`,
				`local: 1 of 1 instances in region "dc1"; then "dc2" 0 of 1`,
			},
		},
		{
			"also when ours is not healthy",
			[]instance{sick, stolen},
			Query{},
			[]string{
				"tier 0 last known", "  " + tierHere, `excluded x: instance "a" of region "dc1", which is nearer, has the same address`,
				`local: none of 1 instances in region "dc1" is healthy and stays, nor elsewhere: "dc2" 0 of 1; ` + lastKnown,
			},
		},
		{
			"not when that region is asked for",
			[]instance{sick, stolen},
			Query{Region: "dc2"},
			[]string{
				"tier 0", "  dc2/*10: x=10.1.0.1:80*10", `excluded a: it is in region "dc1", not in "dc2"`,
				`one region: 1 of 1 instances in region "dc2"`,
			},
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			tt.query.Service = web
			p, ok := For(view(t, nil, tt.all...), nil, Client{}, tt.query)
			if got, want := text(p), strings.Join(tt.want, "\n")+"\n"; !ok || got != want {
				t.Errorf("got\n%swant\n%s", got, want)
			}
		})
	}
	if _, ok := For(view(t, nil, here), nil, Client{}, Query{Service: web, Region: "dc7"}); ok {
		t.Error("a region that the view does not know")
	}
}

// The client's zone comes first in its own region; a zone of that name elsewhere is another.
func TestFor_ZonesOfRegions(t *testing.T) {
	v := view(t, nil,
		instance{id: "a", address: "10.1.0.1", port: 80, zone: "z1", weight: 1}, instance{id: "b", address: "10.1.0.2", port: 80, zone: "z2", weight: 1},
		instance{id: "a", address: "10.2.0.1", port: 80, zone: "z1", weight: 1, scope: 3}, instance{id: "b", address: "10.2.0.2", port: 80, zone: "z2", weight: 1, scope: 3})
	p, _ := For(v, nil, Client{Zone: "z2"}, Query{Service: web})
	var got []string
	for _, tier := range p.Tiers {
		for _, l := range tier.Localities {
			got = append(got, l.Region+"/"+l.Zone)
		}
	}
	if want := "dc1/z2 dc1/z1 dc2/z1 dc2/z2"; strings.Join(got, " ") != want {
		t.Errorf("localities %v, want %s", got, want)
	}
}

// A rule stays readable however many regions there are.
func TestFor_RuleNamesSomeRegions(t *testing.T) {
	all := []instance{{id: "a", address: "10.1.0.1", port: 80}}
	for n := range 20 {
		all = append(all, instance{id: "a", address: "10.2.0.1", port: uint32(n + 1), scope: uint32(n + 5)})
	}
	p, _ := For(view(t, nil, all...), nil, Client{}, Query{Service: web})
	if len(p.Tiers) != 21 || !strings.HasSuffix(p.Rule, " and 12 more") {
		t.Errorf("%d tiers, %s", len(p.Tiers), p.Rule)
	}
}
