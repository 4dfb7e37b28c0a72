// Command run measures SuperCluster against its peers: `run write|read|xds|envoy|start|federation`. It prints a table and
// writes bench/out/<name>.json. Every server, ours and the peers', is a process of its own on loopback; ours and
// the peer are measured in alternating order in one run; floors are measured beside them.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"time"

	"supercluster/bench/measure"
)

// options are the flags of every benchmark.
type options struct {
	binary  string        // ours
	peers   string        // folder with the peers' binaries
	out     string        // folder of the JSON files
	round   time.Duration // length of one load round
	servers int           // of a region; 0: each kind
	mirror  bool
	rate    int  // with servers: changes a second
	rounds  int  // rounds of each side
	quick   bool // small sizes, to see that it runs
}

// benchmark is one entry of the list.
type benchmark struct {
	name  string
	title string
	run   func(context.Context, options) ([]measure.Row, error)
}

func benchmarks() []benchmark {
	return []benchmark{
		{"write", "durable puts over gRPC, 128 B values, 10,000 keys, against etcd", benchWrite},
		{"read", "reads over gRPC, 128 B values, 10,000 keys, against etcd", benchRead},
		{"xds", "one endpoint changes, until every client has it, against go-control-plane", benchXDS},
		{"envoy", "one real Envoy under HTTP load: an endpoint change until its acknowledgement", benchEnvoy},
		{"federation", "a change until other regions show it, over shaped lines, against etcdctl make-mirror", benchFederation},
		{"start", "start of a process to its first write and answer, memory", benchStart},
	}
}

func main() {
	var opt options
	flag.StringVar(&opt.binary, "binary", "bin/supercluster", "our server")
	flag.StringVar(&opt.peers, "peers", ".tools/bench", "folder of the peers' binaries")
	flag.StringVar(&opt.out, "out", "bench/out", "folder of the result files")
	flag.DurationVar(&opt.round, "round", 2*time.Second, "length of one load round")
	flag.IntVar(&opt.rounds, "rounds", 4, "rounds of each side, in alternating order")
	flag.BoolVar(&opt.quick, "quick", false, "small sizes: only to see that it runs")
	flag.IntVar(&opt.servers, "servers", 0, "federation: only regions of so many servers, without the mirror; 0: all")
	flag.BoolVar(&opt.mirror, "mirror", false, "federation with -servers: with make-mirror between etcd of as many servers")
	flag.IntVar(&opt.rate, "rate", 300, "federation with -servers: changes a second")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := run(ctx, opt, flag.Arg(0)); err != nil {
		fmt.Fprintln(os.Stderr, "error:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, opt options, name string) error {
	for _, p := range []*string{&opt.binary, &opt.peers, &opt.out} {
		abs, err := filepath.Abs(*p)
		if err != nil {
			return err
		}
		*p = abs
	}
	for _, b := range benchmarks() {
		if b.name != name {
			continue
		}
		rows, err := b.run(ctx, opt)
		if err != nil {
			return fmt.Errorf("bench %s: %w", name, err)
		}
		measure.Print(os.Stdout, "bench "+b.name+": "+b.title, rows)
		return measure.Write(opt.out, name, rows)
	}
	return fmt.Errorf("no benchmark %q; there are write, read, xds, envoy, start and federation", name)
}
