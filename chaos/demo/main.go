// Command demo shows SuperCluster at work and checks what it shows: a region, three HTTP backends and a real Envoy
// under load, while backends leave gracefully, die and come back; then three regions with Envoy in one of them, which loses
// its instance, is cut off and healed, and sees another region lost. Each step prints its counts. It exits non-zero when
// one of its own checks fails, and ends with `demo: N passed, N failed`.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"time"

	"supercluster/internal/procs"
)

func main() {
	binary := flag.String("binary", "bin/supercluster", "the server to show")
	envoy := flag.String("envoy", "", "the Envoy to use; default: ENVOY_BIN, then .tools/bin/envoy, then PATH")
	rate := flag.Int("rate", 250, "requests per second through Envoy")
	backend := flag.String("backend", "", "internal: serve as a backend on this address")
	flag.Parse()
	if *backend != "" {
		serveBackend(*backend)
		return
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	ctx, cancel := context.WithTimeout(ctx, 3*time.Minute)
	defer cancel()

	d := &demo{out: os.Stdout, rate: *rate}
	if err := d.run(ctx, *binary, procs.FindEnvoy(*envoy, ".")); err != nil {
		d.check(false, "the demo could not go on: %v", err)
	}
	fmt.Printf("demo: %d passed, %d failed\n", d.passed, d.failed)
	if d.failed > 0 {
		os.Exit(1)
	}
}
