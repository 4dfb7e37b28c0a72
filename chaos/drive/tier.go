package drive

import (
	"context"
	"time"

	"supercluster/chaos/history"
	"supercluster/chaos/schedule"
	"supercluster/region/record"
)

// Tier is one kind of world and how it is run.
type Tier struct {
	About    string // one line for the help
	Examples string
	Seeds    int    // how many run when nobody says how many
	Leaves   string // what is in the folder of the runs, in words

	Options schedule.Options            // of every seed; its Tier is the name of the tier
	Focuses map[string]schedule.Options // of runs of one kind of fault
	// Fixed says that a saved plan must have the regions of Options.
	Fixed bool

	// Turns says that nemeses run one after the other, each no earlier than at its time; otherwise all run at their times.
	Turns bool
	// Overtime is how much longer than their plan all nemeses together may take.
	Overtime time.Duration
	Pace     Pace

	// Around, where it is set, does what all runs need before them and after them, or leaves them out.
	Around func(ctx context.Context, runs func() error) error
	// World makes a world in which nothing runs yet. When it fails it leaves nothing behind.
	World func(*Run) (World, error)
}

// Pace is how soon a world answers.
type Pace struct {
	Ask       time.Duration // how long a client waits for an answer
	KnowIn    time.Duration // and how long it tries to find out how a write ended
	AskAgain  time.Duration // between these attempts
	RestLeast time.Duration // between two calls of a client, to RestMost: no faster than the checkers can judge
	RestMost  time.Duration
	Follow    time.Duration // a watch on one server: that it goes on where it stopped is watched too
	Resume    time.Duration // until it goes on
	Calm      time.Duration // of writes after the last fault
}

// World is everything of one run that a tier owns.
type World interface {
	// Start starts all regions and waits until they hear each other.
	Start(context.Context) error
	// Regions are in the order of the plan; they are asked for once it has started.
	Regions() []Region
	// Strike does one nemesis from its start to its end.
	Strike(context.Context, *schedule.Nemesis) Effect
	// Digests writes down the digest of every channel at its source and where it is imported, and says which differ.
	Digests(context.Context) (problem string)
	// Close ends everything; a world that did not start, too.
	Close()
}

// Effect is what was seen of a nemesis.
type Effect struct {
	Seen     bool   // it took effect
	Evidence string // by what that was seen
	// Stuck says why what it stopped did not come back. That is a violation, and the run goes no further than its faults.
	Stuck string
}

// Keeper is a World that has more to show of a run that did not pass than its history.
type Keeper interface {
	Keep(dir string)
}

// Region is one region of a world.
type Region interface {
	// Serving are the servers that run, as far as a client knows.
	Serving() []Server
	// Now is where the region is, linearizably.
	Now(context.Context) (record.Positions, error)
	// State is all that clients wrote and the region has, linearizably.
	State(context.Context) (*history.State, error)
}

// Server is what a client asks. Keys are those of histories; see ConfigKey.
type Server interface {
	Name() string
	// Write asks for a write once; refused says that what it compares did not hold.
	Write(context.Context, *Write) (refused bool, revision uint64, err error)
	// Get reads one key, linearizably; "" is a key that is not there.
	Get(ctx context.Context, key string) (string, error)
	// List reads the keys that begin with prefix, linearizably.
	List(ctx context.Context, prefix string) (map[string]string, error)
	// Lookup reads what source wrote, as it is here: it may be old.
	Lookup(ctx context.Context, source, prefix string) (*Found, error)
	// Follow gives tell what comes after from, until ctx ends, the server ends it or tell wants no more.
	Follow(ctx context.Context, from record.Positions, tell Tell)
	// Newest is the revision that the server's region is at, as far as can be known while faults last; 0 when it is not.
	Newest(context.Context) uint64
}

// Write is one write and what makes it the same write when it is sent again.
type Write struct {
	Call      *history.Call
	RequestID string
	Seen      uint64 // the highest revision that the client was answered
}

// Found is what a lookup showed.
type Found struct {
	Values map[string]string
	Age    *int64 // as declared, in nanoseconds; nil: the server declares that it does not know
}

// Tell takes in a message of a watch. A message that moves the watch says up to where everything was given: the watch goes
// on from there, and while a nemesis wants it slow it reads on late. false ends the watch.
type Tell func(message history.Watch, at record.Positions) bool
