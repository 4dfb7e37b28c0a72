package main

import (
	"encoding/json"
	"math/rand/v2"
	"os"
	"time"
)

// Kind is a kind of fault.
type Kind string

// The faults.
const (
	Kill      Kind = "kill"
	KillAll   Kind = "kill-region"
	Relay     Kind = "kill-relay"
	Pause     Kind = "pause"
	Cut       Kind = "cut"
	OneWay    Kind = "cut-one-way"
	Weather   Kind = "delay-loss-reorder"
	Slow      Kind = "slow-receiver"
	Stall     Kind = "disk-stall"
	Full      Kind = "disk-full"
	PowerLoss Kind = "power-loss"
	Torn      Kind = "torn-write"
	Clock     Kind = "clock"
	OldData   Kind = "old-data"
)

var kinds = []Kind{Kill, KillAll, Relay, Pause, Cut, OneWay, Weather, Slow, Stall, Full, PowerLoss, Torn, Clock, OldData}

// Fault is one fault of a plan.
type Fault struct {
	Kind   Kind          `json:"kind"`
	Region int           `json:"region"`
	Other  int           `json:"other"`
	Node   int           `json:"node"`
	For    time.Duration `json:"for"`
	Pause  time.Duration `json:"pause"` // before it
}

// Plan is what happens in a run, and when. The order of threads and packets is not in it.
type Plan struct {
	Seed   uint64  `json:"seed"`
	Faults []Fault `json:"faults"`
}

const perPlan = 5

// Expand makes the plan of a seed. The kinds go round, so that few seeds have all.
func Expand(seed uint64) Plan {
	random := rand.New(rand.NewPCG(seed, 0xfa))
	plan := Plan{Seed: seed}
	for i := range perPlan {
		f := Fault{
			Kind: kinds[(int(seed%1000)*perPlan+i)%len(kinds)], Region: random.IntN(len(sites)), Node: random.IntN(3),
			For: time.Second + time.Duration(random.IntN(2500))*time.Millisecond, Pause: time.Duration(200+random.IntN(800)) * time.Millisecond,
		}
		f.Other = (f.Region + 1 + random.IntN(len(sites)-1)) % len(sites)
		plan.Faults = append(plan.Faults, f)
	}
	random.Shuffle(len(plan.Faults), func(i, j int) { plan.Faults[i], plan.Faults[j] = plan.Faults[j], plan.Faults[i] })
	return plan
}

// Save writes a plan as JSON.
func (p Plan) Save(path string) error {
	text, err := json.MarshalIndent(p, "", " ")
	if err != nil {
		return err
	}
	return os.WriteFile(path, text, 0o600)
}

// Load reads a plan that was saved.
func Load(path string) (p Plan, err error) {
	text, err := os.ReadFile(path)
	if err == nil {
		err = json.Unmarshal(text, &p)
	}
	return p, err
}
