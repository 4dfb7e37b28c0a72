package schedule

import (
	"encoding/json"
	"fmt"
	"os"
	"time"
)

// Format is the format of saved plans.
const Format = 1

// Plan is one run.
type Plan struct {
	Format   int       `json:"format"`
	Tier     string    `json:"tier"`
	Seed     uint64    `json:"seed"`
	Phases   Phases    `json:"phases"`
	Regions  []Region  `json:"regions"`
	Nemeses  []Nemesis `json:"nemeses"` // by start
	Workload Workload  `json:"workload"`
}

// Millis is a duration in milliseconds.
type Millis int64

// Duration converts it.
func (m Millis) Duration() time.Duration { return time.Duration(m) * time.Millisecond }

// Phases are how long the parts of a run last: warm without faults, faults, heal (the most that it may take until all is
// well again), final (the most that the last reads may take).
type Phases struct {
	Warm   Millis `json:"warm_ms"`
	Faults Millis `json:"faults_ms"`
	Heal   Millis `json:"heal_ms"`
	Final  Millis `json:"final_ms"`
}

// Region is a region and its nodes.
type Region struct {
	Name  string   `json:"name"`
	Nodes []string `json:"nodes"`
}

// Nemesis is one fault.
type Nemesis struct {
	Kind       string           `json:"kind"`
	Start      Millis           `json:"start_ms"` // after the start of the faults
	Duration   Millis           `json:"duration_ms"`
	Targets    []string         `json:"targets"` // region, region/node, or two of one of them
	Parameters map[string]int64 `json:"parameters,omitempty"`
}

// End is when the fault ends.
func (n *Nemesis) End() Millis { return n.Start + n.Duration }

// Workload is what clients do.
type Workload struct {
	Clients int      `json:"clients"` // of each region
	Groups  int      `json:"groups"`  // of keys that transactions change together, in each region
	Keys    int      `json:"keys"`    // in a group
	Watches int      `json:"watches"` // of each region
	Mix     []Weight `json:"mix"`     // how often a client does what
}

// Weight is a kind of call and its share.
type Weight struct {
	Kind   string `json:"kind"`
	Weight int    `json:"weight"`
}

// Save writes a plan to a file.
func (p *Plan) Save(path string) error {
	b, err := json.MarshalIndent(p, "", "  ")
	if err != nil {
		return fmt.Errorf("encode the plan: %w", err)
	}
	if err := os.WriteFile(path, append(b, '\n'), 0o600); err != nil {
		return fmt.Errorf("save the plan: %w", err)
	}
	return nil
}

// Load reads a saved plan.
func Load(path string) (*Plan, error) {
	b, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("load the plan: %w", err)
	}
	var p Plan
	if err := json.Unmarshal(b, &p); err != nil {
		return nil, fmt.Errorf("%s is no plan: %w", path, err)
	}
	return &p, p.valid()
}

func (p *Plan) valid() error {
	switch {
	case p.Format != Format:
		return fmt.Errorf("the plan has format %d, this program runs %d", p.Format, Format)
	case len(p.Regions) == 0:
		return fmt.Errorf("the plan has no regions")
	case p.Workload.Clients < 1 || p.Workload.Groups < 1 || p.Workload.Keys < 1 || len(p.Workload.Mix) == 0:
		return fmt.Errorf("the plan's workload has no clients, no keys or no mix")
	}
	for i := range p.Nemeses {
		n := &p.Nemeses[i]
		if n.Start < 0 || n.Duration <= 0 || n.End() > p.Phases.Faults {
			return fmt.Errorf("nemesis %d (%s) does not fit into the %d ms of faults", i, n.Kind, p.Phases.Faults)
		}
	}
	return nil
}
