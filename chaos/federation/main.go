// Command federation is the chaos run of several regions, as real processes over shaped lines. In its first part three
// regions of three servers write, and whoever sends, takes over or leads is killed again and again: nothing that was
// acknowledged may be missing anywhere, nothing may be applied twice, and all regions must be equal by digest at the end.
// In its second part a region is cut off while 100,000 of its keys change, and must be equal soon after healing while local
// writes go on. In its third part what a region writes comes to another through one of two others, and that one is killed again
// and again: how long until the next change arrives is printed. It exits non-zero when a check fails and ends with `chaos federation: N passed, N failed`.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"time"

	"supercluster/chaos/tally"
	"supercluster/chaos/wan"
)

// options are the flags.
type options struct {
	binary string
	kills  int
	dead   int
	keys   int
	cut    time.Duration
	relays int
}

func main() {
	var opt options
	flag.StringVar(&opt.binary, "binary", "bin/supercluster", "the server to test")
	flag.IntVar(&opt.kills, "kills", 20, "how many servers are killed; 0 leaves that part out")
	flag.IntVar(&opt.dead, "dead", 4, "every so manieth server that is killed stays dead until records go both ways again; 0 for none")
	flag.IntVar(&opt.keys, "keys", 100_000, "how many keys change while a region is cut off; 0 leaves that part out")
	flag.DurationVar(&opt.cut, "cut", 25*time.Second, "how long the cut is at least: links are dead after 10 s, and their pauses have grown after 10 more")
	flag.IntVar(&opt.relays, "relays", 4, "how many relays are killed; 0 leaves that part out")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	ctx, cancel := context.WithTimeout(ctx, 15*time.Minute)
	defer cancel()

	r := &runner{options: opt}
	if err := r.run(ctx); err != nil {
		r.Check(false, "the run could not go on: %v", err)
	}
	r.End("chaos federation:")
}

// runner is one run and what it found.
type runner struct {
	options
	tally.Tally
}

func (r *runner) run(ctx context.Context) (err error) {
	if r.binary, err = filepath.Abs(r.binary); err != nil {
		return err
	}
	if r.kills > 0 {
		if err := r.killing(ctx); err != nil {
			return fmt.Errorf("killing servers: %w", err)
		}
	}
	if r.keys > 0 {
		if err := r.cutting(ctx); err != nil {
			return fmt.Errorf("cutting a region off: %w", err)
		}
	}
	if r.relays > 0 {
		if err := r.relaying(ctx); err != nil {
			return fmt.Errorf("killing relays: %w", err)
		}
	}
	return nil
}

// sites are the regions of the first two parts.
func sites() []string { return []string{"dc1", "dc2", "dc3"} }

// network makes the lines: namespaces as root, proxies otherwise.
func network(sites ...string) (*wan.WAN, error) {
	problem := wan.Unavailable()
	if problem == nil {
		return wan.New(sites...)
	}
	if os.Getenv(wan.RequireEnv) != "" {
		return nil, problem
	}
	fmt.Printf("SKIP the namespaces (%v): the lines are UDP proxies on loopback\n", problem)
	return wan.NewProxy(sites...)
}
