package schedule

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
)

// Target is what a kind of nemesis hits.
type Target string

// The targets.
const (
	OnNode    Target = "node"    // a node of a region that has several
	OnRegion  Target = "region"  // a whole region
	OnRegions Target = "regions" // the first to the second of two regions
	OnNodes   Target = "nodes"   // the first to the second of two nodes of a region
)

// Kind is a kind of nemesis that a tier has.
type Kind struct {
	Name   string
	Target Target
	// Among, where it is set, has the targets that are chosen from, in place of Target.
	Among    [][]string
	Min, Max Millis // duration
	// Exclusive ones never overlap in the regions that they hit: each of them takes a node away.
	Exclusive  bool
	Parameters []Range
}

// Range bounds a parameter.
type Range struct {
	Name     string
	Min, Max int64
}

// Options are what a tier runs.
type Options struct {
	Tier    string
	Phases  Phases
	Regions []Region
	Kinds   []Kind
	Count   int // nemeses
	// Turns says that seeds take the kinds in turns, in their order: seed n goes on where seed n-1 ended. Few seeds then have all.
	Turns    bool
	Together int // at most at any time
	Workload Workload
}

// Expand makes the plan of a seed. Kinds are taken in a shuffled order, or in turns, again and again: each is in the plan
// before any is in it twice. A nemesis for which no place is found is left out.
func Expand(seed uint64, o Options) Plan {
	random := rand.New(rand.NewPCG(seed, 0x73757065_72636c75))
	p := Plan{Format: Format, Tier: o.Tier, Seed: seed, Phases: o.Phases, Regions: o.Regions, Workload: o.Workload}
	kinds := slices.Clone(o.Kinds)
	first := 0
	if o.Turns && len(kinds) > 0 {
		first = int((seed % uint64(len(kinds))) * uint64(o.Count) % uint64(len(kinds)))
	} else {
		random.Shuffle(len(kinds), func(i, j int) { kinds[i], kinds[j] = kinds[j], kinds[i] })
	}
	for i := 0; i < o.Count && len(kinds) > 0; i++ {
		k := &kinds[(first+i)%len(kinds)]
		for range 50 {
			n, ok := draw(random, k, &o)
			if ok && fits(&p, &n, k, &o) {
				p.Nemeses = append(p.Nemeses, n)
				break
			}
		}
	}
	slices.SortStableFunc(p.Nemeses, func(a, b Nemesis) int { return int(a.Start - b.Start) })
	return p
}

func draw(random *rand.Rand, k *Kind, o *Options) (Nemesis, bool) {
	n := Nemesis{Kind: k.Name, Duration: k.Min + Millis(random.Int64N(int64(k.Max-k.Min)+1))}
	if n.Duration > o.Phases.Faults {
		return n, false
	}
	n.Start = Millis(random.Int64N(int64(o.Phases.Faults-n.Duration) + 1))
	for _, r := range k.Parameters {
		if n.Parameters == nil {
			n.Parameters = map[string]int64{}
		}
		n.Parameters[r.Name] = r.Min + random.Int64N(r.Max-r.Min+1)
	}
	if n.Targets = targets(random, k.Target, o.Regions); len(k.Among) > 0 {
		n.Targets = slices.Clone(k.Among[random.IntN(len(k.Among))])
	}
	return n, n.Targets != nil
}

func targets(random *rand.Rand, t Target, regions []Region) []string {
	switch t {
	case OnRegion, OnRegions:
		want := map[Target]int{OnRegion: 1, OnRegions: 2}[t]
		if len(regions) < want {
			return nil
		}
		var all []string
		for _, i := range random.Perm(len(regions))[:want] {
			all = append(all, regions[i].Name)
		}
		return all
	default:
		want := map[Target]int{OnNode: 1, OnNodes: 2}[t]
		var several []Region
		for _, r := range regions {
			if len(r.Nodes) > 1 {
				several = append(several, r)
			}
		}
		if len(several) == 0 {
			return nil
		}
		r := several[random.IntN(len(several))]
		var all []string
		for _, i := range random.Perm(len(r.Nodes))[:want] {
			all = append(all, r.Name+"/"+r.Nodes[i])
		}
		return all
	}
}

// fits says whether a nemesis has room beside those of the plan.
func fits(p *Plan, n *Nemesis, k *Kind, o *Options) bool {
	together := 1
	for i := range p.Nemeses {
		other := &p.Nemeses[i]
		if other.Start >= n.End() || n.Start >= other.End() {
			continue
		}
		together++
		if other.Kind == n.Kind || k.Exclusive && exclusive(o.Kinds, other.Kind) && meet(n.Targets, other.Targets) {
			return false
		}
	}
	return together <= o.Together
}

func exclusive(kinds []Kind, name string) bool {
	return slices.ContainsFunc(kinds, func(k Kind) bool { return k.Name == name && k.Exclusive })
}

// meet says whether two nemeses hit the same region.
func meet(a, b []string) bool {
	return slices.ContainsFunc(a, func(x string) bool {
		return slices.ContainsFunc(b, func(y string) bool { return regionOf(x) == regionOf(y) })
	})
}

func regionOf(target string) string {
	region, _, _ := strings.Cut(target, "/")
	return region
}

// Pick chooses a kind of call for a random number below the sum of the weights.
func (w *Workload) Pick(n int) string {
	for _, m := range w.Mix {
		if n -= m.Weight; n < 0 {
			return m.Kind
		}
	}
	return w.Mix[len(w.Mix)-1].Kind
}

// Sum is the sum of the weights.
func (w *Workload) Sum() (sum int) {
	for _, m := range w.Mix {
		sum += m.Weight
	}
	return sum
}

// String says in one line what a nemesis is.
func (n *Nemesis) String() string {
	s := fmt.Sprintf("%s on %s from %d ms for %d ms", n.Kind, strings.Join(n.Targets, " and "), n.Start, n.Duration)
	names := make([]string, 0, len(n.Parameters))
	for name := range n.Parameters {
		names = append(names, name)
	}
	slices.Sort(names)
	for _, name := range names {
		s += fmt.Sprintf(", %s %d", name, n.Parameters[name])
	}
	return s
}
