package feed

import (
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"

	"supercluster/region/record"
	"supercluster/region/state"
)

// seeds is how many runs the property test makes; FEED_SEEDS changes it. Under the race detector a run takes ten times as
// long, and nothing of the machine is concurrent.
func seeds(t *testing.T) int {
	if s := os.Getenv("FEED_SEEDS"); s != "" {
		n, err := strconv.Atoi(s)
		if err != nil {
			t.Fatal(err)
		}
		return n
	}
	if raceEnabled || testing.Short() {
		return 200
	}
	return 3000
}

func runModel(t testing.TB, seed uint64, w rules, p plan) *model {
	m := newModel(t, seed, w)
	m.run(p)
	m.settle()
	return m
}

// eachSeed runs the model on both processors until fn says stop.
func eachSeed(t *testing.T, n int, run func(seed uint64) *model, fn func(seed uint64, m *model) bool) {
	var (
		mu   sync.Mutex
		wg   sync.WaitGroup
		next uint64
		done bool
	)
	for range 2 {
		wg.Go(func() {
			for {
				mu.Lock()
				seed := next
				next++
				over := done || seed >= uint64(n)
				mu.Unlock()
				if over {
					return
				}
				m := run(seed)
				mu.Lock()
				done = !fn(seed, m) || done
				mu.Unlock()
			}
		})
	}
	wg.Wait()
}

// planOf mixes: a seventh of the plans has two living copies of a region, with restores or without, with hostile relays or without.
func planOf(seed uint64) plan {
	return plan{steps: 700, restores: seed%4 != 0, forging: seed%3 == 0, clones: seed%7 == 1}
}

// wrong says what must never be; empty if nothing of it was.
func (m *model) wrong() string {
	bad := slices.Concat(m.diverged(), m.halted(), m.talking())
	if m.backwards > 0 {
		bad = append(bad, fmt.Sprintf("%d times back in time", m.backwards))
	}
	if m.forged > 0 {
		bad = append(bad, fmt.Sprintf("%d forged records taken over", m.forged))
	}
	if m.untouched > 0 {
		bad = append(bad, fmt.Sprintf("a region fenced itself %d times that nobody had restored or cloned", m.untouched))
	}
	return strings.Join(bad, "; ")
}

// No receiver has, in silence, anything else than what the home has; and nobody goes back in time. Loss, duplicates,
// reordering, partitions, relays, trims, selectors that change, restores from old backups, marked and not, relays
// that forge, and regions of which two copies live.
func TestProperty_NothingDivergesInSilence(t *testing.T) {
	total := map[string]int{}
	failed := 0
	eachSeed(t, seeds(t), func(seed uint64) *model { return runModel(t, seed, rules{}, planOf(seed)) }, func(seed uint64, m *model) bool {
		for k, v := range m.stats {
			total[k] += v
		}
		if bad := m.wrong(); bad != "" {
			t.Errorf("seed %d: %s; %v", seed, bad, m.stats)
			failed++
		}
		return failed < 5
	})
	t.Log(total)
	for _, what := range []string{"restored", "cloned", "stopped half-way", "fence 1", "18 0", "18 10", "19 0", "19 10", "refused server-behind", "from a tail"} {
		if total[what] == 0 {
			t.Errorf("%q never happened: the runs prove nothing about it", what)
		}
	}
}

// Each rule matters: without it a run diverges, goes back in time, or is fenced by who must not.
func TestProperty_EachRuleMatters(t *testing.T) {
	tests := []struct {
		name  string
		rules rules
	}{
		{"signature", rules{peer: without{signature: true}}},
		{"self-fence: a peer is ahead", rules{peer: without{ahead: true}}},
		{"self-fence: history differs", rules{peer: without{differs: true}}},
		{"self-fence: a newer incarnation", rules{peer: without{newer: true}}},
		{"order of snapshots", rules{machine: state.Without{Order: true}}},
		{"cursor", rules{machine: state.Without{Cursor: true}}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			found, runs := "", 0
			eachSeed(t, 400, func(seed uint64) *model { return runModel(t, seed, tt.rules, planOf(seed)) }, func(seed uint64, m *model) bool {
				runs++
				if bad := m.wrong(); bad != "" {
					found = fmt.Sprintf("seed %d: %s", seed, bad)
				}
				return found == ""
			})
			if found == "" {
				t.Errorf("nothing went wrong in %d runs without the rule", runs)
			}
			t.Logf("after %d runs: %.200s", runs, found)
		})
	}
}

// Two living copies of a region that nobody restores: one of them stops, and only one, and the incarnations do not run away.
func TestProperty_LivingClones(t *testing.T) {
	stopped, runs := 0, 0
	run := func(seed uint64) *model {
		return runModel(t, seed, rules{}, plan{steps: 700, clones: true, forging: seed%3 == 0})
	}
	eachSeed(t, max(seeds(t)/10, 20), run, func(seed uint64, m *model) bool {
		region := cloned(m)
		if region < 0 {
			return true
		}
		runs++
		fences := [2]record.Federation{federationOf(t, m, region), federationOf(t, m, modelRegions)}
		if fences[0].Fence == record.FenceClone || fences[1].Fence == record.FenceClone {
			stopped++
		}
		for i := range fences {
			if fences[i].Incarnation > 12 {
				t.Errorf("seed %d: copy %d is in incarnation %d", seed, i, fences[i].Incarnation)
			}
		}
		if bad := m.wrong(); bad != "" {
			t.Errorf("seed %d: %s; %v", seed, bad, m.stats)
		}
		return !t.Failed()
	})
	if stopped == 0 {
		t.Errorf("no copy ever stopped in %d runs", runs)
	}
	t.Logf("a copy stopped in %d of %d runs", stopped, runs)
}

// cloned finds the region that has two copies, -1 if none has.
func cloned(m *model) int {
	for n := range modelRegions {
		if len(m.nodes) > modelRegions && m.nodes[n].id == m.nodes[modelRegions].id {
			return n
		}
	}
	return -1
}

func federationOf(t testing.TB, m *model, n int) record.Federation {
	t.Helper()
	f, _, err := state.ReadFederation(m.nodes[n].kv)
	if err != nil {
		t.Fatal(err)
	}
	return f
}
