package main

import (
	"os"
	"runtime"
	"runtime/debug"
	"runtime/metrics"
)

// minGarbage is how much garbage at least gathers between two collections of a server. The runtime collects when the
// heap has doubled: with the 25 MiB that a small region holds it marked them anew for 25 MiB of garbage, once a second
// under load, and what came meanwhile waited for a processor (ADR 0016).
const minGarbage = 64 << 20

// gathering keeps the runtime's percentage at what leaves minGarbage beside what is live; it is 100, as always, when
// more is live. A limit of memory (GOMEMLIMIT) holds all the same. Only the cleanup that await leaves uses it.
type gathering struct {
	percent int
	live    []metrics.Sample
}

// letGarbageGather does so from now on, unless GOGC says what the operator wants. It reports which.
func letGarbageGather() bool {
	if os.Getenv("GOGC") != "" {
		return false
	}
	g := &gathering{percent: 100, live: []metrics.Sample{{Name: "/gc/heap/live:bytes"}}}
	g.adjust()
	g.await()
	return true
}

// await has the percentage adjusted after the next collection: that is when the cleanup of what nobody holds runs.
func (g *gathering) await() {
	type unheld struct{ _ *unheld } // with a pointer, so that it shares its memory with nothing
	runtime.AddCleanup(new(unheld), func(g *gathering) {
		g.adjust()
		g.await()
	}, g)
}

func (g *gathering) adjust() {
	metrics.Read(g.live)
	if next := percentFor(g.live[0].Value.Uint64()); worthIt(g.percent, next) {
		g.percent = next
		debug.SetGCPercent(next)
	}
}

// percentFor is the percentage that leaves minGarbage beside so many live bytes.
func percentFor(live uint64) int {
	const least = 1 << 20 // of a process that collected nothing yet
	return int(max(100, 100*minGarbage/max(live, least)))
}

// worthIt reports whether a change is worth stopping everything for a moment: more than a tenth.
func worthIt(now, next int) bool { return 10*max(now, next) > 11*min(now, next) }
