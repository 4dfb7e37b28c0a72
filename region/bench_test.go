package region

import (
	"context"
	"flag"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"supercluster/region/record"
)

var depth = flag.Int("depth", 0, "groups on their way at a time; 0 is the default")

func benchNodes(b *testing.B, nodes int) *cluster {
	b.Helper()
	names := []string{"n1", "n2", "n3"}[:nodes]
	c := newCluster(b, names...)
	c.tune = func(_ string, cfg *Config) { cfg.Faults, cfg.Tuning.Depth = nil, *depth }
	for _, name := range names {
		c.start(name, true)
	}
	c.ready(names...)
	return c
}

// each runs an operation from many callers and reports its latencies.
func each(b *testing.B, callers int, op func(caller, i int)) {
	b.Helper()
	took := make([][]time.Duration, callers)
	b.ResetTimer()
	var group sync.WaitGroup
	for c := range callers {
		n := b.N / callers
		if c < b.N%callers {
			n++
		}
		group.Go(func() {
			took[c] = make([]time.Duration, n)
			for i := range n {
				began := time.Now()
				op(c, i)
				took[c][i] = time.Since(began)
			}
		})
	}
	group.Wait()
	b.StopTimer()
	all := slices.Concat(took...)
	slices.Sort(all)
	micros := func(p int) float64 { return float64(all[(len(all)-1)*p/100].Microseconds()) }
	b.ReportMetric(micros(50), "p50-us")
	b.ReportMetric(micros(99), "p99-us")
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "ops/s")
}

func BenchmarkPut(b *testing.B) {
	for _, nodes := range []int{1, 3} {
		c := benchNodes(b, nodes)
		leader := c.nodes[c.leader()]
		for _, callers := range []int{1, 16, 256} {
			b.Run(fmt.Sprintf("nodes=%d/callers=%d", nodes, callers), func(b *testing.B) {
				value := string(make([]byte, 128))
				each(b, callers, func(caller, i int) {
					if _, err := leader.Propose(context.Background(), putOp(fmt.Sprintf("k%d/%d", caller, i%100), value)); err != nil {
						b.Error(err)
					}
				})
			})
		}
		for _, name := range c.names() {
			c.stop(name)
		}
	}
}

func BenchmarkRead(b *testing.B) {
	c := benchNodes(b, 3)
	leader := c.nodes[c.leader()]
	leader.put(b, "k", "v")
	for _, level := range []record.Level{record.LevelLinearizable, record.LevelLocal} {
		for _, callers := range []int{1, 16, 256} {
			b.Run(fmt.Sprintf("level=%d/callers=%d", level, callers), func(b *testing.B) {
				each(b, callers, func(int, int) {
					if _, _, _, err := leader.Get(context.Background(), key("k"), 0, level); err != nil {
						b.Error(err)
					}
				})
			})
		}
	}
}
