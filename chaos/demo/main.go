// Command demo shows SuperCluster at work and checks what it shows: a region, three HTTP backends and a real Envoy
// under load, while backends leave gracefully, die and come back; then three regions with Envoy and a gRPC client in one of them, which
// loses its instance, is cut off and healed, and sees another region lost. Each step prints its counts. It exits non-zero when
// one of its own checks fails, and ends with `demo: N passed, N failed`.
package main

import (
	"context"
	"flag"
	"os"
	"os/signal"
	"time"

	"supercluster/chaos/load"
	"supercluster/chaos/tally"
	"supercluster/internal/procs"
)

func main() {
	binary := flag.String("binary", "bin/supercluster", "the server to show")
	envoy := flag.String("envoy", "", "the Envoy to use; default: ENVOY_BIN, then .tools/bin/envoy, then PATH")
	rate := flag.Int("rate", 250, "requests per second of each client")
	backend := flag.String("backend", "", "internal: serve as a backend on this address")
	echo := flag.String("echo", "", "internal: serve gRPC as the same backend on this address")
	call := flag.String("call", "", "internal: call this target by gRPC and print every outcome")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	switch {
	case *backend != "":
		serveBackend(*backend, *echo)
	case *call != "":
		if err := load.SendGRPC(ctx, *call, *rate, os.Stdout); err != nil {
			fail(err)
		}
		return
	}
	ctx, cancel := context.WithTimeout(ctx, 3*time.Minute)
	defer cancel()

	d := &demo{Tally: tally.Tally{Out: os.Stdout, Good: "  ok  ", Bad: "  FAIL"}, rate: *rate}
	if err := d.run(ctx, *binary, procs.FindEnvoy(*envoy, ".")); err != nil {
		d.Check(false, "the demo could not go on: %v", err)
	}
	d.End("demo:")
}
