package main

import (
	"context"
	"fmt"
	"os"
	"runtime"
	"time"

	"supercluster/bench/measure"
	"supercluster/chaos/fleet"
	"supercluster/chaos/wan"
)

// The lines of the benchmark: between each two of three regions, one way.
var federationLines = []struct {
	a, b  string
	delay time.Duration
}{{"dc1", "dc2", 40 * time.Millisecond}, {"dc1", "dc3", 80 * time.Millisecond}, {"dc2", "dc3", 150 * time.Millisecond}}

const (
	lineLoss  = 0.001
	writers   = 16
	echoPort  = 7007
	mirrorMax = 20 * time.Second // how long the mirror may take to end
)

// federationRates are the changes a second for regions of one server and of three: at 300 nine servers need all of two processors.
func federationRates(opt options) (one, three []int) {
	if opt.quick {
		return []int{1000}, []int{300}
	}
	return []int{300, 1000}, []int{50, 300}
}

func sitesOf() []string { return []string{"dc1", "dc2", "dc3"} }

// newLines makes the shaped network: namespaces as root, proxies otherwise.
func newLines() (*wan.WAN, error) {
	make := wan.New
	if problem := wan.Unavailable(); problem != nil {
		if os.Getenv(wan.RequireEnv) != "" {
			return nil, problem
		}
		fmt.Printf("SKIP the namespaces (%v): the lines are UDP proxies on loopback\n", problem)
		make = wan.NewProxy
	}
	w, err := make(sitesOf()...)
	if err != nil {
		return nil, err
	}
	for _, l := range federationLines {
		w.Both(l.a, l.b, wan.Line{Delay: l.delay, Loss: lineLoss})
	}
	return w, nil
}

func lagRow(nodes, rate int, source, sink string) string {
	return fmt.Sprintf("lag n=%d %d/s %s to %s, %v one way", nodes, rate, source, sink, delayOf(source, sink))
}

func delayOf(a, b string) time.Duration {
	for _, l := range federationLines {
		if l.a == a && l.b == b || l.a == b && l.b == a {
			return l.delay
		}
	}
	return 0
}

func benchFederation(ctx context.Context, opt options) ([]measure.Row, error) {
	if opt.servers > 0 {
		rows, err := federationStage(ctx, opt, opt.servers, []int{opt.rate})
		if err != nil || !opt.mirror {
			return rows, err
		}
		return withMirrors(ctx, opt, rows, opt.servers, []int{opt.rate})
	}
	var rows []measure.Row
	oneRates, threeRates := federationRates(opt)
	one, err := federationStage(ctx, opt, 1, oneRates)
	if err != nil {
		return nil, fmt.Errorf("three regions of one server: %w", err)
	}
	rows = append(rows, one...)
	three, err := federationStage(ctx, opt, 3, threeRates)
	if err != nil {
		return nil, fmt.Errorf("three regions of three servers: %w", err)
	}
	rows = append(rows, three...)
	return withMirror(ctx, opt, rows)
}

// crowded reports whether regions of so many servers, ours or the peer's, share out the processors: each server has one, as on
// a machine of its own, where the system would move the threads of all of them over all processors.
func crowded(nodes int) bool { return nodes*len(sitesOf()) >= 2*runtime.NumCPU() }

// fedStage is three joined regions under load.
type fedStage struct {
	opt    options
	nodes  int
	lines  *wan.WAN
	fleet  *fleet.Fleet
	echoes *echoes
	length time.Duration // of one load
	phase  int
}

func federationStage(ctx context.Context, opt options, nodes int, rates []int) (rows []measure.Row, err error) {
	s := &fedStage{opt: opt, nodes: nodes, length: 5 * opt.round}
	if opt.quick {
		s.length = 2 * time.Second
	}
	if s.lines, err = newLines(); err != nil {
		return nil, err
	}
	defer s.lines.Close()
	starting, cancel := context.WithTimeout(ctx, 3*time.Minute)
	defer cancel()
	begin := time.Now()
	var options []fleet.Option
	if crowded(nodes) {
		fmt.Printf("three regions of %d on %d processors: each server is held to one\n", nodes, runtime.NumCPU())
		options = append(options, fleet.OneProcessor)
	}
	if s.fleet, err = fleet.Start(starting, s.lines, opt.binary, sitesOf(), nodes, options...); err != nil {
		return nil, err
	}
	defer s.fleet.Close()
	started := time.Now()
	if err := s.fleet.Join(starting); err != nil {
		return nil, err
	}
	fmt.Printf("three regions of %d: started in %v, joined in %v\n", nodes, started.Sub(begin).Round(time.Millisecond), time.Since(started).Round(time.Millisecond))
	if s.echoes, err = newEchoes(s.lines); err != nil {
		return nil, err
	}
	defer s.echoes.close()
	idle, err := s.idle(ctx)
	if err != nil {
		return nil, err
	}
	rows = append(rows, idle...)
	for _, rate := range rates {
		more, err := s.atRate(ctx, rate)
		if err != nil {
			return nil, fmt.Errorf("at %d changes a second: %w", rate, err)
		}
		rows = append(rows, more...)
	}
	for _, r := range s.fleet.Regions {
		if err := r.Equal(ctx, 30*time.Second); err != nil {
			return nil, err
		}
	}
	fmt.Println("all regions equal by digest at the end")
	return rows, nil
}

// usage is what the servers and the lines used so far.
type usage struct {
	cpu   map[string]time.Duration
	bytes map[[2]string]int64
}

func (s *fedStage) usage() usage {
	u := usage{cpu: map[string]time.Duration{}, bytes: map[[2]string]int64{}}
	for _, r := range s.fleet.Regions {
		for _, p := range r.Servers {
			u.cpu[r.Name] += p.CPU()
		}
		for _, to := range sitesOf() {
			u.bytes[[2]string{r.Name, to}] = s.lines.Stats(r.Name, to).Bytes
		}
	}
	return u
}

// idle measures what regions cost that have nothing to tell each other.
func (s *fedStage) idle(ctx context.Context) ([]measure.Row, error) {
	before, begin := s.usage(), time.Now()
	select {
	case <-time.After(s.length / 2):
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	after, took := s.usage(), time.Since(begin).Seconds()
	var bytes, cpu float64
	for pair, n := range after.bytes {
		bytes += float64(n - before.bytes[pair])
	}
	for name, t := range after.cpu {
		cpu += float64(t - before.cpu[name])
	}
	name := fmt.Sprintf("idle n=%d", s.nodes)
	return []measure.Row{
		{Name: name + ", a direction of a line", Unit: "B a second", Ours: bytes / took / 6},
		{Name: name + ", CPU of a region", Unit: "% of a core", Ours: cpu / 1e9 / took / 3 * 100},
	}, nil
}

// atRate loads each region in turn and gives the rows of the rate.
func (s *fedStage) atRate(ctx context.Context, rate int) (rows []measure.Row, err error) {
	alone, err := s.load(ctx, s.fleet.Regions[0], rate, true)
	if err != nil {
		return nil, fmt.Errorf("without other regions: %w", err)
	}
	var cost []*fedResult
	for _, source := range s.fleet.Regions {
		r, err := s.load(ctx, source, rate, false)
		if err != nil {
			return nil, fmt.Errorf("from %s: %w", source.Name, err)
		}
		cost = append(cost, r)
		for _, sink := range s.fleet.Regions {
			if sink != source {
				rows = append(rows, s.lagRows(r, source.Name, sink.Name, rate)...)
			}
		}
	}
	return append(rows, s.costRows(cost, alone, rate)...), nil
}

// lagRows are the lags of a pair: half of the line's round trip is their floor, and the bounds follow from it.
func (s *fedStage) lagRows(r *fedResult, source, sink string, rate int) []measure.Row {
	oneWay := delayOf(source, sink)
	lags, echo := r.lags(sink), r.echo[sink]
	name := lagRow(s.nodes, rate, source, sink)
	row := func(unit string, p float64, bound time.Duration) measure.Row {
		out := measure.Row{
			Name: name, Unit: unit, Ours: ms(measure.Percentile(lags, p)),
			Floor: ms(measure.Percentile(echo, p) / 2), FloorName: "UDP echo / 2",
		}
		if rate == 300 {
			out.Bound = ms(bound)
		}
		return out
	}
	return []measure.Row{
		row("ms p50", 50, oneWay+5*time.Millisecond),
		row("ms p99", 99, 3*oneWay+30*time.Millisecond),
		row("ms max", 100, 0),
	}
}

// costRows are what a change costs: bytes on the lines, CPU at its source beside the same load in a namespace that no
// other region has, and CPU of a region that gets it.
func (s *fedStage) costRows(results []*fedResult, alone *fedResult, rate int) []measure.Row {
	var there, back, at, sink, acked []float64
	reached := 0.0
	for _, r := range results {
		n := float64(len(r.changes))
		reached += n / r.took.Seconds() / float64(len(results))
		at = append(at, float64(r.cpu[r.source])/n/1e3)
		acked = append(acked, ms(r.put))
		for _, to := range sitesOf() {
			if to == r.source {
				continue
			}
			there = append(there, float64(r.bytes[[2]string{r.source, to}])/n)
			back = append(back, float64(r.bytes[[2]string{to, r.source}])/n)
			sink = append(sink, float64(r.cpu[to])/n/1e3)
		}
	}
	name := fmt.Sprintf("n=%d %d/s, ", s.nodes, rate)
	alonePerChange := float64(alone.cpu[alone.source]) / float64(len(alone.changes)) / 1e3
	return []measure.Row{
		{Name: name + "changes made", Unit: "a second", Ours: reached},
		{Name: name + "bytes to a region", Unit: "B a change", Ours: measure.Median(there), Floor: changeBytes, FloorName: "value of a put"},
		{Name: name + "bytes back", Unit: "B a change", Ours: measure.Median(back)},
		{Name: name + "CPU of the source", Unit: "us a change", Ours: measure.Median(at), Floor: alonePerChange, FloorName: "not federated"},
		{Name: name + "CPU of another region", Unit: "us a change", Ours: measure.Median(sink)},
		{Name: name + "put at the source", Unit: "ms p99", Ours: measure.Median(acked), Floor: ms(alone.put), FloorName: "not federated"},
	}
}
