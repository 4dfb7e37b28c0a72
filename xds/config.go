package xds

import (
	"context"
	"log/slog"
	"time"

	"go.opentelemetry.io/otel/metric"

	"supercluster/federation/plan"
	"supercluster/registry"
	"supercluster/registry/access"
)

// Views is where the server learns what the registry holds, as registry/live gives it.
type Views interface {
	View() *registry.View
	// Follow calls fn first with everything, then with what changed; changes gather while fn runs.
	Follow(ctx context.Context, fn func(v *registry.View, c registry.Changes) error) error
}

// Reaches is where the server learns how this region reaches the others.
type Reaches interface {
	// Reach is what is known now; nil: nothing.
	Reach() *plan.Reach
	// ReachChanged gives a channel that is closed when Reach gives another one than at the time of the call, or later.
	ReachChanged() <-chan struct{}
}

// Config is what a Server needs.
type Config struct {
	Views Views
	// Reaches orders the other regions. Nil: they are all up and stand by name.
	Reaches Reaches
	// Region and Node name this server to its clients.
	Region, Node string
	// Synced reports whether the views may be trusted; until then every stream is refused. Nil: always.
	Synced func() bool
	// Authorize gives who opened a stream. Nil: the principal of the context.
	Authorize func(ctx context.Context) access.Principal
	Limits    Limits
	Log       *slog.Logger // nil: none
	Meter     metric.Meter // nil: none
}

// sendLimit is the default of Limits.Send, and what the kernel gives a client.
const sendLimit = 30 * time.Second

// Limits bound what clients can cost. A zero field means its default.
type Limits struct {
	Streams        int           // streams at once; default 20,000
	NewStreams     float64       // new streams per second; default 1,000
	NewStreamsWait time.Duration // longest wait of a new stream for its turn; default 2 s
	Names          int           // resource names one stream may ask for; default 50,000
	NameBytes      int           // length of one resource name; default 512
	NodeIDBytes    int           // length of node.id; default 256
	RequestBytes   int           // size of one request; default 4 MiB
	FirstRequest   time.Duration // longest wait for the first request; default 15 s
	Send           time.Duration // longest wait for a client to take a response; default 30 s
	Acknowledge    time.Duration // longest wait for an acknowledgement; default 5 min
	Gate           time.Duration // longest wait of listeners and routes for the clusters before them; default 5 s
}

func (l Limits) withDefaults() Limits {
	orInt(&l.Streams, 20_000)
	orInt(&l.Names, 50_000)
	orInt(&l.NameBytes, 512)
	orInt(&l.NodeIDBytes, 256)
	orInt(&l.RequestBytes, 4<<20)
	orDuration(&l.NewStreamsWait, 2*time.Second)
	orDuration(&l.FirstRequest, 15*time.Second)
	orDuration(&l.Send, sendLimit)
	orDuration(&l.Acknowledge, 5*time.Minute)
	orDuration(&l.Gate, 5*time.Second)
	if l.NewStreams <= 0 {
		l.NewStreams = 1000
	}
	return l
}

func orInt(v *int, fallback int) {
	if *v <= 0 {
		*v = fallback
	}
}

func orDuration(v *time.Duration, fallback time.Duration) {
	if *v <= 0 {
		*v = fallback
	}
}
