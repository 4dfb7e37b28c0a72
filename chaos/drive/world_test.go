package drive

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"supercluster/chaos/history"
	"supercluster/chaos/schedule"
	"supercluster/region/record"
)

// toy is a world in memory in which every region has at once what another one wrote.
type toy struct {
	run     *Run
	strike  func(*toy, context.Context, *schedule.Nemesis) (bool, string)
	fails   error // of the start
	loses   int   // every so manieth write is acknowledged and not done
	mumbles int   // every so manieth write is done, and nobody hears of it
	takes   time.Duration
	stuck   string // why nothing comes back after a fault
	kept    string
	closed  bool

	mu      sync.Mutex
	regions []*toyRegion
	writes  int
	asked   int // calls of clients
	done    map[string]*toyAnswer
}

type toyAnswer struct {
	refused  bool
	revision uint64
}

// toyRegion is a region of one server.
type toyRegion struct {
	world   *toy
	name    string
	values  map[string]string
	commits [][]history.Change
}

func (w *toy) Start(context.Context) error {
	for _, r := range w.run.Plan.Regions {
		w.regions = append(w.regions, &toyRegion{world: w, name: r.Name, values: map[string]string{}})
	}
	return w.fails
}

func (w *toy) Regions() (all []Region) {
	for _, r := range w.regions {
		all = append(all, r)
	}
	return all
}

func (w *toy) Strike(ctx context.Context, n *schedule.Nemesis) (e Effect) {
	e.Seen, e.Evidence = w.strike(w, ctx, n)
	e.Stuck = w.stuck
	return e
}

func (w *toy) Digests(context.Context) string {
	for _, r := range w.regions {
		for _, source := range w.regions {
			w.run.Log.Add(history.Line{Type: history.Digests, Region: r.name, Digest: &history.Digest{Source: source.name, Channel: "1", Digest: "same"}})
		}
	}
	return ""
}

func (w *toy) Keep(dir string) { w.kept = dir }

func (w *toy) Close() { w.closed = true }

func (r *toyRegion) Serving() []Server { return []Server{r} }

func (r *toyRegion) Name() string { return "n1" }

func (r *toyRegion) Now(context.Context) (record.Positions, error) {
	return record.Positions{Data: r.Newest(context.Background())}, nil
}

func (r *toyRegion) Newest(context.Context) uint64 {
	r.world.mu.Lock()
	defer r.world.mu.Unlock()
	return uint64(len(r.commits))
}

func (r *toyRegion) State(context.Context) (*history.State, error) {
	r.world.mu.Lock()
	defer r.world.mu.Unlock()
	out := &history.State{Revision: uint64(len(r.commits))}
	for key, value := range r.values {
		out.Entries = append(out.Entries, history.Entry{Key: key, Value: value})
	}
	return out, nil
}

// ask counts a call and takes its time.
func (w *toy) ask() {
	time.Sleep(w.takes)
	w.mu.Lock()
	w.asked++
}

// calls is how many clients have asked.
func (w *toy) calls() int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.asked
}

func (r *toyRegion) Write(_ context.Context, write *Write) (refused bool, revision uint64, err error) {
	w := r.world
	w.ask()
	defer w.mu.Unlock()
	if again := w.done[write.RequestID]; again != nil {
		return again.refused, again.revision, nil
	}
	w.writes++
	a := r.apply(write.Call)
	if w.done[write.RequestID] = a; w.mumbles > 0 && w.writes%w.mumbles == 0 {
		return false, 0, errors.New("the connection broke")
	}
	return a.refused, a.revision, nil
}

// apply does a write here, and shows it everywhere.
func (r *toyRegion) apply(call *history.Call) *toyAnswer {
	w := r.world
	for _, e := range call.Compare {
		if r.values[e.Key] != e.Value {
			return &toyAnswer{refused: true}
		}
	}
	if w.loses > 0 && w.writes%w.loses == 0 {
		return &toyAnswer{revision: uint64(len(r.commits))}
	}
	var changes []history.Change
	for _, s := range call.Steps {
		channel := "config"
		if strings.HasPrefix(s.Key, ServiceKey) {
			channel = "endpoints"
		}
		if s.Do == history.DoDelete && r.values[s.Key] == "" {
			continue
		}
		changes = append(changes, history.Change{Key: s.Key, Value: s.Value, Deleted: s.Do == history.DoDelete, Channel: channel})
	}
	if len(changes) == 0 {
		return &toyAnswer{revision: uint64(len(r.commits))}
	}
	for _, other := range w.regions {
		other.show(changes, r)
	}
	return &toyAnswer{revision: uint64(len(r.commits))}
}

func (r *toyRegion) show(changes []history.Change, of *toyRegion) {
	mine := slices.Clone(changes)
	for i := range mine {
		if r != of {
			mine[i].Source = of.name
		}
		if r.values[mine[i].Key] = mine[i].Value; mine[i].Deleted {
			delete(r.values, mine[i].Key)
		}
	}
	r.commits = append(r.commits, mine)
}

func (r *toyRegion) Get(_ context.Context, key string) (string, error) {
	r.world.ask()
	defer r.world.mu.Unlock()
	return r.values[key], nil
}

func (r *toyRegion) List(_ context.Context, prefix string) (map[string]string, error) {
	r.world.ask()
	defer r.world.mu.Unlock()
	found := map[string]string{}
	for key, value := range r.values {
		if strings.HasPrefix(key, prefix) {
			found[key] = value
		}
	}
	return found, nil
}

func (r *toyRegion) Lookup(ctx context.Context, _, prefix string) (*Found, error) {
	values, err := r.List(ctx, prefix)
	age := int64(0)
	return &Found{Values: values, Age: &age}, err
}

func (r *toyRegion) Follow(ctx context.Context, from record.Positions, tell Tell) {
	at := from.Data
	for ok := tell(history.Watch{Event: history.WatchOpen, Revision: at}, record.Positions{}); ok; {
		r.world.mu.Lock()
		news := slices.Clone(r.commits[at:])
		r.world.mu.Unlock()
		for _, changes := range news {
			at++
			if !tell(history.Watch{Event: history.WatchEvent, Revision: at, Changes: changes}, record.Positions{Data: at}) {
				return
			}
		}
		ok = Pause(ctx, 5*time.Millisecond)
	}
}

// toyTier is a tier of such worlds; each that it made is noted.
func toyTier(made *[]*toy, change func(*toy)) *Tier {
	o := schedule.Options{
		Tier: "toy", Phases: schedule.Phases{Warm: 100, Faults: 400, Heal: 1000, Final: 1000}, Regions: Regions(), Workload: Workload(),
		Count: 2, Together: 2, Kinds: []schedule.Kind{{Name: "nudge", Target: schedule.OnRegion, Min: 100, Max: 200}, {Name: "poke", Target: schedule.OnRegion, Min: 100, Max: 200}},
	}
	only := o
	only.Kinds, only.Tier = []schedule.Kind{{Name: "shove", Target: schedule.OnRegion, Min: 100, Max: 200}}, "toy"
	return &Tier{
		About: "A toy.", Seeds: 2, Leaves: "plans, histories and reports", Options: o, Focuses: map[string]schedule.Options{"shove": only},
		Overtime: time.Second, Turns: true,
		Pace: Pace{
			Ask: 400 * time.Millisecond, KnowIn: 800 * time.Millisecond, AskAgain: 10 * time.Millisecond,
			RestLeast: 4 * time.Millisecond, RestMost: 15 * time.Millisecond,
			Follow: 100 * time.Millisecond, Resume: 5 * time.Millisecond, Calm: 100 * time.Millisecond,
		},
		World: func(r *Run) (World, error) {
			w := &toy{run: r, done: map[string]*toyAnswer{}, strike: func(_ *toy, ctx context.Context, n *schedule.Nemesis) (bool, string) {
				Pause(ctx, n.Duration.Duration())
				return true, fmt.Sprintf("%s was nudged", n.Targets[0])
			}}
			if change != nil {
				change(w)
			}
			*made = append(*made, w)
			return w, nil
		},
	}
}
