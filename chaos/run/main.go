// Command run is the chaos run of one region: three servers as real processes, writers with a recorded history and a
// real Envoy, while the leader is killed again and again, and then the server that Envoy is connected to. It checks that
// the history is linearizable, that every acknowledged write is there, that writes go on in time, and that the proxy
// keeps its configuration, fails no request and follows another server. It exits non-zero when a check fails and ends
// with `chaos: N passed, N failed`.
package main

import (
	"context"
	"flag"
	"os"
	"os/signal"
	"time"
)

// options are the flags.
type options struct {
	binary  string
	envoy   string
	kills   int
	writers int
	report  string
}

func main() {
	var opt options
	flag.StringVar(&opt.binary, "binary", "bin/supercluster", "the server to test")
	flag.StringVar(&opt.envoy, "envoy", "", "the Envoy to use; default: ENVOY_BIN, then .tools/bin/envoy, then PATH")
	flag.IntVar(&opt.kills, "kills", 20, "how often the leader is killed")
	flag.IntVar(&opt.writers, "writers", 8, "clients that write and read")
	flag.StringVar(&opt.report, "report", "", "where the picture of a history that is not linearizable goes; default: a temporary file")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	ctx, cancel := context.WithTimeout(ctx, 10*time.Minute)
	defer cancel()

	r := &runner{options: opt}
	if err := r.run(ctx); err != nil {
		r.Check(false, "the run could not go on: %v", err)
	}
	r.End("chaos:")
}
