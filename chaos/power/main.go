// Command power is the part of the chaos runs that is about disks: real servers under writes lose their power, one node alone
// and all three nodes of a region at once, and a replica finds a changed byte in one of its files. No write that was
// acknowledged may be lost or changed; a replica that can not trust its disk stops and says what to do, and the region
// goes on. It exits non-zero when a check fails, when a fault did not take effect, or when nothing was written between two.
//
// The power losses need root, for disks of their own; elsewhere they are skipped loudly.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"time"

	"supercluster/chaos/disk"
	"supercluster/chaos/tally"
)

// requireEnv turns a skip into a failure, as .ci/run sets it.
const requireEnv = "SUPERCLUSTER_REQUIRE_CLIENTS"

// runner is one run: what was asked and what it found.
type runner struct {
	binary string
	alone  int // power losses of a node that is a region
	three  int // power losses of all three nodes of a region
	flips  int
	seed   uint64
	keep   string // where the data of a failed part goes

	tally.Tally
	acked int
}

func main() {
	r := &runner{}
	flag.StringVar(&r.binary, "binary", "bin/supercluster", "the server to test")
	flag.IntVar(&r.alone, "alone", 60, "how often a region of one node loses its power")
	flag.IntVar(&r.three, "three", 40, "how often all three nodes of a region lose their power at once")
	flag.IntVar(&r.flips, "flips", 100, "how often a byte of a replica changes")
	flag.Uint64Var(&r.seed, "seed", 1, "what is hit and when; the same seed hits the same kinds, not the same bytes")
	flag.StringVar(&r.keep, "keep", "", "where the data of a failed part goes; default: a temporary folder")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := r.run(ctx); err != nil {
		r.Check(false, "the run could not go on: %v", err)
	}
	r.End("chaos: %d writes acknowledged and found again;", r.acked)
}

func (r *runner) run(ctx context.Context) (err error) {
	if r.binary, err = filepath.Abs(r.binary); err != nil {
		return err
	}
	if err := disk.Unavailable(); err != nil && r.alone+r.three > 0 {
		r.alone, r.three = 0, 0
		fmt.Println("SKIP the power losses:", err)
		r.Check(os.Getenv(requireEnv) == "", "the power losses may be skipped")
	}
	for _, part := range []struct{ nodes, losses int }{{1, r.alone}, {3, r.three}} {
		if part.losses == 0 {
			continue
		}
		if err := r.losses(ctx, part.nodes, part.losses); err != nil {
			return fmt.Errorf("power losses of %d nodes: %w", part.nodes, err)
		}
	}
	if r.flips == 0 {
		return nil
	}
	return r.bytes(ctx)
}

// within gives a step of the run its time.
func within(ctx context.Context, d time.Duration, do func(context.Context) error) error {
	ctx, cancel := context.WithTimeout(ctx, d)
	defer cancel()
	return do(ctx)
}
