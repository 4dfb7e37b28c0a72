package plan

import "time"

// State is what is known of a region from here. It orders regions; by itself it never takes an endpoint away.
type State uint8

// The states of a region, the best first.
const (
	StateUp      State = iota // nothing speaks against it
	StateSuspect              // not heard of for a while: still where its cost puts it, but marked
	StateAway                 // given up for now: behind all regions that are not
)

// String is the state for people.
func (s State) String() string { return [...]string{"up", "suspect", "away"}[min(s, StateAway)] }

// RegionReach is what is known of one other region.
type RegionReach struct {
	ID     [16]byte
	Region string // its name here
	State  State
	// Cost orders regions: the round trip as measured, or as set by an operator. Negative: not known, behind those that are.
	Cost time.Duration
	// Why says what decided, for people.
	Why string
}

// Reach is how this region can reach the others. It is immutable; a new one is made when something of it changes.
type Reach struct {
	// Island: this region reaches nobody. What it holds of others is frozen, and nobody is demoted.
	Island  bool
	Regions []RegionReach // in order of ID; those that are not in it are up, and their cost is not known
}
