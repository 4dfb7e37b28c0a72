package main

import (
	"os"
	"runtime"
	"runtime/debug"
	"runtime/metrics"
	"time"

	"github.com/KimMachineGun/automemlimit/memlimit"
)

// How much garbage gathers between two collections of a server. The runtime collects when the heap has doubled: with the 25 MiB
// that a small region holds it marked them anew for 25 MiB of garbage, once a second under load, and what came meanwhile waited
// for a processor (ADR 0016). A server that makes much garbage, since its region catches up, collected each second even so, for
// 20 to 65 ms, and most writes that were slow fell into that (ADR 0022): it gathers what it makes in gatherFor.
const (
	minGarbage = 64 << 20
	maxGarbage = 256 << 20
	gatherFor  = 4 * time.Second
	// shareOfMemory: what a server gathers beyond minGarbage ends at a sixteenth of the memory that it may use.
	shareOfMemory = 16
)

// The runtime's own counts.
const (
	liveBytes      = "/gc/heap/live:bytes"
	allocatedBytes = "/gc/heap/allocs:bytes"
)

// gathering keeps the runtime's percentage at what leaves enough garbage beside what is live; it is 100, as always, when
// more is live. A limit of memory (GOMEMLIMIT) holds all the same. Only the cleanup that await leaves uses it.
type gathering struct {
	most    uint64 // bytes of garbage
	percent int
	heap    []metrics.Sample

	// Of the last collection.
	at        time.Time
	allocated uint64
}

// letGarbageGather does so from now on, in a process that may use so many bytes of memory (0: nobody knows), unless GOGC says
// what the operator wants. It reports which.
func letGarbageGather(memory uint64) bool {
	if os.Getenv("GOGC") != "" {
		return false
	}
	now := time.Now()
	g := newGathering(memory, now)
	g.adjust(now)
	g.await()
	return true
}

func newGathering(memory uint64, now time.Time) *gathering {
	return &gathering{
		most: mostGarbage(memory), percent: 100, at: now,
		heap: []metrics.Sample{{Name: liveBytes}, {Name: allocatedBytes}},
	}
}

// memoryOfProcess is how much memory this process may use: what its control group grants, or all there is. 0 when nobody
// knows.
func memoryOfProcess() uint64 {
	bytes, err := memlimit.ApplyFallback(memlimit.FromCgroup, memlimit.FromSystem)()
	if err != nil {
		return 0
	}
	return bytes
}

// await has the percentage adjusted after the next collection: that is when the cleanup of what nobody holds runs.
func (g *gathering) await() {
	type unheld struct{ _ *unheld } // with a pointer, so that it shares its memory with nothing
	runtime.AddCleanup(new(unheld), func(g *gathering) {
		g.adjust(time.Now())
		g.await()
	}, g)
}

func (g *gathering) adjust(now time.Time) {
	metrics.Read(g.heap)
	live, allocated := g.heap[0].Value.Uint64(), g.heap[1].Value.Uint64()
	garbage := garbageFor(allocated-g.allocated, now.Sub(g.at), g.most)
	g.at, g.allocated = now, allocated
	if next := percentFor(live, garbage); worthIt(g.percent, next) {
		g.percent = next
		debug.SetGCPercent(next)
	}
}

// mostGarbage is how much garbage may gather in a process that may use so much memory.
func mostGarbage(memory uint64) uint64 {
	return min(max(memory/shareOfMemory, minGarbage), maxGarbage)
}

// garbageFor is how much garbage should gather where so much was allocated in so long, up to most: minGarbage, or twice or four
// times that, so that it does not change with each collection.
func garbageFor(allocated uint64, took time.Duration, most uint64) uint64 {
	perSecond := float64(allocated) / max(took, time.Second).Seconds() // of a moment nothing follows
	garbage := uint64(minGarbage)
	for float64(garbage) < perSecond*gatherFor.Seconds() && garbage < most {
		garbage *= 2
	}
	return min(garbage, most)
}

// percentFor is the percentage that leaves so much garbage beside so many live bytes.
func percentFor(live, garbage uint64) int {
	const least = 1 << 20 // of a process that collected nothing yet
	return int(max(100, 100*garbage/max(live, least)))
}

// worthIt reports whether a change is worth stopping everything for a moment: more than a tenth.
func worthIt(now, next int) bool { return 10*max(now, next) > 11*min(now, next) }
