// Command regions loses a region whole, as real processes in network namespaces with lines of 40, 80 and 150 ms between
// them, while Envoy and a gRPC client of another region send 200 requests a second each to a service whose endpoints are
// there. Once its processes are killed, once the network swallows what it sends and gets. Then a region is cut from all
// others. Each figure is printed and checked. It needs root, and ends with `chaos regions: N passed, N failed`.
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
	"supercluster/internal/procs"
)

func main() {
	r := runner{Tally: tally.Tally{Good: "  PASS ", Bad: "  FAIL "}}
	backend := flag.String("backend", "", "internal: serve HTTP and, on the next port, gRPC on this address")
	loadTo := flag.String("load", "", "internal: send requests to this URL and to xds:///echo, and print each outcome")
	flag.StringVar(&r.binary, "binary", "bin/supercluster", "the server to test")
	flag.StringVar(&r.envoy, "envoy", "", "the Envoy to use; default: ENVOY_BIN, then .tools/bin/envoy, then PATH")
	flag.IntVar(&r.rate, "rate", 200, "requests a second, of each client")
	only := flag.String("only", "", "run one part only: killed, black-hole or island")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	switch {
	case *backend != "":
		exitWith(serveBackend(*backend))
	case *loadTo != "":
		exitWith(sendLoad(ctx, *loadTo, r.rate))
	}
	ctx, cancel := context.WithTimeout(ctx, 10*time.Minute)
	defer cancel()
	if err := r.run(ctx, *only); err != nil {
		r.Check(false, "the run could not go on: %v", err)
	}
	r.End("chaos regions:")
}

func exitWith(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	os.Exit(0)
}

// runner is one run and what it found.
type runner struct {
	tally.Tally
	binary, envoy string
	rate          int
}

func (r *runner) run(ctx context.Context, only string) (err error) {
	if err := wan.Unavailable(); err != nil {
		if os.Getenv(wan.RequireEnv) != "" {
			return err
		}
		fmt.Printf("SKIP: %v\n", err)
		return nil
	}
	if r.binary, err = filepath.Abs(r.binary); err != nil {
		return err
	}
	if r.envoy = procs.FindEnvoy(r.envoy, "."); r.envoy == "" {
		return fmt.Errorf("there is no Envoy: run `make tools`, or set ENVOY_BIN")
	}
	for _, part := range []struct {
		name string
		do   func(context.Context, *scene) error
	}{{"killed", r.killed}, {"black-hole", r.blackHole}, {"island", r.island}} {
		if only != "" && only != part.name {
			continue
		}
		fmt.Println(part.name)
		if err := r.play(ctx, part.do); err != nil {
			return fmt.Errorf("%s: %w", part.name, err)
		}
	}
	return nil
}
