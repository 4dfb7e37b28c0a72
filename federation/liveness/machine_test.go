package liveness

import (
	"strings"
	"testing"
	"time"

	"supercluster/federation/plan"
)

func id(n int) [16]byte { return [16]byte{byte(n)} }

// run is a machine of region 1 whose others give signs as a test says, judged every 100 ms.
type run struct {
	t     *testing.T
	m     *Machine
	now   time.Duration
	peers []int
	// Who probes, answers on the link, and feeds; and what rows say, by who says it.
	probe, link, feed map[int]bool
	rows              map[int]map[int]bool
}

func newRun(t *testing.T, peers ...int) *run {
	r := &run{t: t, m: New(), now: time.Hour, peers: peers, probe: map[int]bool{}, link: map[int]bool{}, feed: map[int]bool{}, rows: map[int]map[int]bool{}}
	var all []Peer
	for _, p := range peers {
		all = append(all, Peer{ID: id(p), Name: name(p), Cost: -1})
		r.all(true, p)
	}
	r.m.SetPeers(r.now, all)
	return r
}

func name(p int) string { return "dc" + string(rune('0'+p)) }

// all has every sign of regions come, or not.
func (r *run) all(comes bool, peers ...int) {
	for _, p := range peers {
		r.probe[p], r.link[p], r.feed[p] = comes, comes, comes
	}
}

// say has a region say whether it reaches another.
func (r *run) say(from, about int, reached bool) {
	if r.rows[from] == nil {
		r.rows[from] = map[int]bool{}
	}
	r.rows[from][about] = reached
}

const stepEvery = 100 * time.Millisecond

// pass lets time pass.
func (r *run) pass(d time.Duration) {
	for end := r.now + d; r.now < end; {
		r.now += stepEvery
		for _, p := range r.peers {
			if r.probe[p] {
				r.m.Probed(id(p), r.now, time.Duration(p)*10*time.Millisecond)
			}
			if r.link[p] {
				r.m.Heard(id(p), r.now, time.Duration(p)*10*time.Millisecond)
			}
			if r.feed[p] {
				r.m.Fed(id(p), r.now)
			}
			if said := r.rows[p]; said != nil {
				var seen []Seen
				for _, o := range r.peers {
					if reached, ok := said[o]; ok {
						seen = append(seen, Seen{ID: id(o), Reached: reached})
					}
				}
				r.m.Told(id(p), r.now, seen)
			}
		}
		r.m.Step(r.now)
	}
}

// states gives a letter for each region: up, suspect, away; and ! in front for the island.
func (r *run) states() string {
	s := ""
	if r.m.Reach().Island {
		s = "!"
	}
	for _, g := range r.m.Reach().Regions {
		s += string("usa"[g.State])
	}
	return s
}

func (r *run) want(states string) {
	r.t.Helper()
	if got := r.states(); got != states {
		r.t.Fatalf("at %v: %s, want %s; %+v", r.now-time.Hour, got, states, r.m.Reach().Regions)
	}
}

func (r *run) why(p int) string {
	for _, g := range r.m.Reach().Regions {
		if g.ID == id(p) {
			return g.Why
		}
	}
	return ""
}

func TestJudge(t *testing.T) {
	tests := []struct {
		name  string
		peers []int
		do    func(r *run)
		// What is thought of the regions after so long.
		at   []time.Duration
		want []string
		why  string // of the first peer, at the end
	}{
		{
			"all well",
			[]int{2, 3},
			func(*run) {},
			[]time.Duration{0, 10 * time.Second},
			[]string{"uu", "uu"},
			"",
		},
		{
			"both signals are silent",
			[]int{2, 3},
			func(r *run) { r.all(false, 2) },
			[]time.Duration{1900 * time.Millisecond, 2 * time.Second, 4900 * time.Millisecond, 5 * time.Second, time.Hour},
			[]string{"uu", "su", "su", "au", "au"},
			"its probe listener and its feed are silent",
		},
		{
			"the feed is silent, the probe listener answers: kept",
			[]int{2, 3},
			func(r *run) { r.link[2], r.feed[2] = false, false },
			[]time.Duration{time.Hour},
			[]string{"uu"},
			"kept as it was",
		},
		{
			"the probe listener is silent, and nobody says otherwise",
			[]int{2, 3},
			func(r *run) { r.probe[2] = false },
			[]time.Duration{2 * time.Second, 5 * time.Second},
			[]string{"su", "au"},
			"although its link is up",
		},
		{
			"the probe listener is silent, and another region says so",
			[]int{2, 3},
			func(r *run) { r.probe[2] = false; r.say(3, 2, false) },
			[]time.Duration{2 * time.Second, 5 * time.Second},
			[]string{"su", "au"},
			"although its link is up",
		},
		{
			"half reachable: the probe listener is silent here and seen elsewhere, the link is up",
			[]int{2, 3},
			func(r *run) { r.probe[2] = false; r.say(3, 2, true) },
			[]time.Duration{2 * time.Second, time.Hour},
			[]string{"su", "su"},
			`answers region "dc3"`,
		},
		{
			"cut from one region only, whose feed comes through another",
			[]int{2, 3},
			func(r *run) { r.probe[2], r.link[2] = false, false; r.say(3, 2, true) },
			[]time.Duration{2 * time.Second, 5 * time.Second},
			[]string{"su", "au"},
			"comes through others",
		},
		{
			"a probe listener that was never open is not held against a region that is heard",
			[]int{2, 3},
			func(r *run) {
				r.m, r.probe[2] = New(), false
				r.m.SetPeers(r.now, []Peer{{ID: id(2), Name: "dc2", Cost: -1}, {ID: id(3), Name: "dc3", Cost: -1}})
			},
			[]time.Duration{time.Minute},
			[]string{"uu"},
			"has not answered yet",
		},
		{
			"the island: nobody is reached",
			[]int{2, 3},
			func(r *run) { r.all(false, 2, 3) },
			[]time.Duration{2 * time.Second, 5 * time.Second, time.Hour},
			[]string{"!uu", "!uu", "!uu"},
			"",
		},
		{
			"the only other region is lost: this one cannot tell that from being the island",
			[]int{2},
			func(r *run) { r.all(false, 2) },
			[]time.Duration{2 * time.Second, time.Hour},
			[]string{"!u", "!u"},
			"",
		},
		{
			"signs end one after the other: still the island",
			[]int{2, 3},
			func(r *run) { r.all(false, 2); r.pass(2500 * time.Millisecond); r.all(false, 3) },
			[]time.Duration{2 * time.Second, time.Hour},
			[]string{"!uu", "!uu"},
			"",
		},
		{
			"a matrix with holes: rows that do not speak of it change nothing",
			[]int{2, 3, 4},
			func(r *run) { r.all(false, 2); r.say(3, 4, true) },
			[]time.Duration{5 * time.Second},
			[]string{"auu"},
			"",
		},
		{
			"what a region says of itself settles nothing",
			[]int{2, 3},
			func(r *run) { r.probe[2] = false; r.say(2, 2, true) },
			[]time.Duration{5 * time.Second},
			[]string{"au"},
			"",
		},
		{
			"more than half at once, on its own word: held",
			[]int{2, 3, 4, 5, 6},
			func(r *run) { r.all(false, 2, 3, 4) },
			[]time.Duration{time.Hour},
			[]string{"aasuu"},
			"",
		},
		{
			"more than half at once, and another region says so",
			[]int{2, 3, 4, 5, 6},
			func(r *run) {
				r.all(false, 2, 3, 4)
				for _, o := range []int{2, 3, 4} {
					r.say(5, o, false)
				}
			},
			[]time.Duration{5 * time.Second},
			[]string{"aaauu"},
			"",
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			r := newRun(t, tt.peers...)
			r.pass(3 * time.Second)
			tt.do(r)
			began := r.now
			for i, at := range tt.at {
				r.pass(at - (r.now - began))
				if got := r.states(); got != tt.want[i] {
					t.Errorf("after %v: %s, want %s; %+v", at, got, tt.want[i], r.m.Reach().Regions)
				}
			}
			if !strings.Contains(r.why(tt.peers[0]), tt.why) || tt.why == "" && tt.name == "all well" && r.why(tt.peers[0]) != "" {
				t.Errorf("why: %q, want %q", r.why(tt.peers[0]), tt.why)
			}
		})
	}
}

// A region that flaps is away until it has answered for a while, twice as long each time.
func TestReturn(t *testing.T) {
	r := newRun(t, 2, 3)
	r.pass(3 * time.Second)
	for _, hold := range []time.Duration{2, 4, 8, 16, 32, 60, 60} {
		hold *= time.Second
		r.all(false, 2)
		r.pass(6 * time.Second)
		r.want("au")
		for range 5 { // it flaps: nobody moves
			r.all(true, 2)
			r.pass(1500 * time.Millisecond)
			r.want("au")
			r.all(false, 2)
			r.pass(3 * time.Second)
			r.want("au")
		}
		r.all(true, 2)
		r.pass(hold)
		r.want("au")
		if why := r.why(2); !strings.Contains(why, "must for "+hold.String()) {
			t.Errorf("why: %q", why)
		}
		r.pass(stepEvery)
		r.want("uu")
	}
	r.pass(forgetAfter + time.Second)
	r.all(false, 2)
	r.pass(6 * time.Second)
	r.all(true, 2)
	r.pass(Return + stepEvery)
	r.want("uu")
}

// What a region that comes back has to tell is waited for, but not for ever.
func TestReturn_WaitsForTheFeed(t *testing.T) {
	r := newRun(t, 2, 3)
	r.pass(3 * time.Second)
	r.all(false, 2)
	r.pass(6 * time.Second)
	r.probe[2] = true
	r.pass(Return + feedGrace)
	r.want("au")
	r.pass(stepEvery)
	r.want("uu")
}

// After the island was healed, a region that stays silent has the whole time to be heard.
func TestIsland_Ends(t *testing.T) {
	r := newRun(t, 2, 3)
	r.pass(3 * time.Second)
	r.all(false, 2, 3)
	r.pass(time.Minute)
	r.want("!uu")
	r.all(true, 3)
	r.pass(Away)
	r.want("su")
	r.pass(stepEvery)
	r.want("au")
}

// A node that stood still, or whose clock leapt, holds the silence against nobody.
func TestStandstill(t *testing.T) {
	for _, gap := range []time.Duration{3 * time.Second, time.Hour} {
		r := newRun(t, 2, 3)
		r.pass(3 * time.Second)
		r.now += gap
		r.all(false, 2)
		r.pass(1900 * time.Millisecond)
		r.want("uu")
		r.pass(Away)
		r.want("au")
	}
}

func TestNew_JudgesNobodyAtOnce(t *testing.T) {
	r := newRun(t, 2, 3)
	r.all(false, 2)
	r.pass(Away)
	r.want("su")
	r.pass(stepEvery)
	r.want("au")
}

// An old row settles nothing.
func TestTold_Ages(t *testing.T) {
	r := newRun(t, 2, 3)
	r.pass(3 * time.Second)
	r.probe[2] = false
	r.m.Told(id(3), r.now, []Seen{{ID: id(2), Reached: true}})
	r.pass(rowFor - stepEvery)
	r.want("su")
	r.pass(Away)
	r.want("au")
	r.m.Told(id(9), r.now, nil)
	if p := r.m.Picture(r.now); len(p.Rows) != 1 {
		t.Errorf("rows of %d regions, want 1: who is no peer says nothing", len(p.Rows))
	}
}

func TestCost(t *testing.T) {
	m, now := New(), time.Hour
	peers := []Peer{{ID: id(2), Name: "dc2", Cost: -1}, {ID: id(3), Name: "dc3", Cost: 7 * time.Millisecond}}
	m.SetPeers(now, peers)
	cost := func() time.Duration { return m.Step(now).Regions[0].Cost }
	probe := func(n int, trip time.Duration) time.Duration {
		for range n {
			m.Probed(id(2), now, trip)
		}
		return cost()
	}
	for i, step := range []struct {
		n          int
		trip, want time.Duration
	}{
		{0, 0, -1},
		{2, 40 * time.Millisecond, -1}, // too few to believe
		{1, 40 * time.Millisecond, 40 * time.Millisecond},
		{10, 400 * time.Millisecond, 40 * time.Millisecond}, // a slow moment is no other path
		{16, 49 * time.Millisecond, 40 * time.Millisecond},  // within a fifth and 2 ms
		{16, 51 * time.Millisecond, 51 * time.Millisecond},  // beyond
		{1, 41 * time.Millisecond, 51 * time.Millisecond},   // within
		{1, 38 * time.Millisecond, 38 * time.Millisecond},   // beyond
		{16, 1200 * time.Microsecond, 1200 * time.Microsecond},
		{16, 3 * time.Millisecond, 1200 * time.Microsecond}, // 2 ms on the same site are noise
	} {
		if got := probe(step.n, step.trip); got != step.want {
			t.Errorf("step %d: cost %v, want %v", i, got, step.want)
		}
	}
	if got := m.Reach().Regions[1].Cost; got != 7*time.Millisecond {
		t.Errorf("cost %v, want the one that is set", got)
	}
	peers[0].Cost = 0
	m.SetPeers(now, peers)
	if got := cost(); got != 0 {
		t.Errorf("cost %v, want the one that is set, 0", got)
	}
	peers[0].Cost = -1
	m.SetPeers(now, peers)
	if got := cost(); got != 1200*time.Microsecond {
		t.Errorf("cost %v, want the round trip again", got)
	}
}

// Another node goes on from a picture as the one that painted it would have.
func TestRestore(t *testing.T) {
	a := newRun(t, 2, 3)
	a.pass(3 * time.Second)
	a.all(false, 2)
	a.say(3, 2, false)
	a.pass(4 * time.Second)
	b := newRun(t, 2, 3)
	b.now = 77 * time.Hour
	b.m.Restore(b.now, a.m.Picture(a.now))
	b.all(false, 2)
	if got, want := b.m.Reach().Regions, a.m.Reach().Regions; len(got) != 2 || got[0] != want[0] || got[1] != want[1] {
		t.Fatalf("restored %+v, want %+v", got, want)
	}
	b.pass(900 * time.Millisecond)
	b.want("su")
	b.pass(stepEvery)
	b.want("au")
	if row, at := b.m.Row(); at != b.now || row[0].Reached || !row[1].Reached {
		t.Errorf("row %+v at %v", row, at)
	}
	b.m.SetPeers(b.now, []Peer{{ID: id(3), Name: "dc3", Cost: -1}})
	if b.m.Step(b.now); b.states() != "u" {
		t.Errorf("%s, want only the region that is left", b.states())
	}
}

// Nothing that changes is nothing new to plan with.
func TestStep_SamePointer(t *testing.T) {
	r := newRun(t, 2, 3)
	r.pass(3 * time.Second)
	before := r.m.Reach()
	r.pass(time.Minute)
	if r.m.Reach() != before {
		t.Error("a new Reach although nothing changed")
	}
	r.all(false, 2)
	r.pass(3 * time.Second)
	if before = r.m.Reach(); before.Regions[0].State != plan.StateSuspect {
		t.Fatal("not suspect")
	}
	r.pass(time.Second)
	if r.m.Reach() != before {
		t.Error("a new Reach although nothing changed while it is suspect")
	}
}
