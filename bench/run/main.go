// Command run measures SuperCluster against its peers: `run write read xds envoy start federation`, or some of them. It
// prints a table and writes <out>/<name>.json. Every server, ours and the peers', is a process of its own on loopback; ours
// and the peer are measured in alternating order in one run; floors are measured beside them.
//
// It fails when a request, an operation or a client failed. With -gate it also fails when a row is missing and when
// ours is not ahead of the peer where it should be, measured twice. No absolute time makes it fail.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"time"

	"supercluster/bench/gate"
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
	quick   bool // few sizes and short rounds
	gate    bool // fail on a missing row and a lost order
}

// benchmark is one entry of the list.
type benchmark struct {
	name  string
	title string
	run   func(context.Context, options) ([]measure.Row, error)
	rules func(options) []gate.Rule
}

func benchmarks() []benchmark {
	return []benchmark{
		{"write", "durable puts over gRPC, 128 B values, 10,000 keys, against etcd", benchWrite, writeRules},
		{"read", "reads over gRPC, 128 B values, 10,000 keys, against etcd", benchRead, readRules},
		{"xds", "one endpoint changes, until every client has it, against go-control-plane", benchXDS, xdsRules},
		{"envoy", "one real Envoy under HTTP load: an endpoint change until its acknowledgement", benchEnvoy, envoyRules},
		{"federation", "a change until other regions show it, over shaped lines, against etcdctl make-mirror", benchFederation, federationRules},
		{"start", "start of a process to its first write and answer, memory", benchStart, startRules},
	}
}

func main() {
	var opt options
	flag.StringVar(&opt.binary, "binary", "bin/supercluster", "our server")
	flag.StringVar(&opt.peers, "peers", ".tools/bench", "folder of the peers' binaries")
	flag.StringVar(&opt.out, "out", "bench/out", "folder of the result files")
	flag.DurationVar(&opt.round, "round", 2*time.Second, "length of one load round")
	flag.IntVar(&opt.rounds, "rounds", 4, "rounds of each side, in alternating order")
	flag.BoolVar(&opt.quick, "quick", false, "few sizes and short rounds: to see that it runs, and for -gate")
	flag.BoolVar(&opt.gate, "gate", false, "fail when a count is wrong, or when ours is not ahead of the peer in two measurements")
	flag.IntVar(&opt.servers, "servers", 0, "federation: only regions of so many servers, without the mirror; 0: all")
	flag.BoolVar(&opt.mirror, "mirror", false, "federation with -servers: with make-mirror between etcd of as many servers")
	flag.IntVar(&opt.rate, "rate", 300, "federation with -servers: changes a second")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := runAll(ctx, opt, flag.Args()); err != nil {
		fmt.Fprintln(os.Stderr, "error:", err)
		os.Exit(1)
	}
}

// runAll runs the benchmarks with these names. One that fails does not keep the others from being measured.
func runAll(ctx context.Context, opt options, names []string) error {
	for _, p := range []*string{&opt.binary, &opt.peers, &opt.out} {
		abs, err := filepath.Abs(*p)
		if err != nil {
			return err
		}
		*p = abs
	}
	var chosen []benchmark
	for _, name := range names {
		i := slices.IndexFunc(benchmarks(), func(b benchmark) bool { return b.name == name })
		if i < 0 {
			return fmt.Errorf("no benchmark %q; there are write, read, xds, envoy, start and federation", name)
		}
		chosen = append(chosen, benchmarks()[i])
	}
	if len(chosen) == 0 {
		return errors.New("name a benchmark: write, read, xds, envoy, start or federation")
	}
	var failed error
	for _, b := range chosen {
		if err := b.judged(ctx, opt); err != nil {
			failed = errors.Join(failed, err)
		}
	}
	return failed
}

// measured runs it, prints its table and writes its file.
func (b benchmark) measured(ctx context.Context, opt options) ([]measure.Row, error) {
	rows, err := b.run(ctx, opt)
	if err != nil {
		return nil, fmt.Errorf("bench %s: %w", b.name, err)
	}
	measure.Print(os.Stdout, "bench "+b.name+": "+b.title, rows)
	return rows, measure.Write(opt.out, b.name, rows)
}
