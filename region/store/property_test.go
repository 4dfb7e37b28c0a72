package store

import (
	"bytes"
	"fmt"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"
	sm "github.com/lni/dragonboat/v4/statemachine"
	"pgregory.net/rapid"

	"supercluster/region/record"
	"supercluster/region/state"
)

// anyOp draws a write over few records, so that they meet.
func anyOp(newest uint64) *rapid.Generator[record.Op] {
	return rapid.Custom(func(t *rapid.T) record.Op {
		name := rapid.SampledFrom([]string{"a", "b", "b\x00", "c/d", ""}).Draw(t, "name")
		switch rapid.IntRange(0, 9).Draw(t, "op") {
		case 0, 1:
			return del(name)
		case 2:
			return deleteAll(name, rapid.SampledFrom([]string{"", "b", "c"}).Draw(t, "to"))
		case 3:
			return compact(rapid.Uint64Range(0, newest+1).Draw(t, "revision"))
		case 4:
			return purge(rapid.Uint32Range(1, 8).Draw(t, "changes"))
		default:
			return put(name, rapid.StringN(0, 8, 8).Draw(t, "value"))
		}
	})
}

// After any history of batches, restarts and recoveries, the store has the state that the same entries make in the
// in-memory twin; and what the cache answers is what the disk says (I3).
func TestStore_IsTheTwinOnDisk(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		cfg := testConfig(vfs.NewMem())
		cfg.CacheBytes = rapid.SampledFrom([]int64{1, 100 << 10, 1 << 20}).Draw(rt, "cache")
		r := start(t, cfg)
		defer r.Close()
		twin := state.NewMemory()
		if err := state.ReadSnapshot(bytes.NewReader(r.stream()), twin.Set); err != nil {
			rt.Fatal(err)
		}
		for range rapid.IntRange(1, 8).Draw(rt, "batches") {
			var entries []sm.Entry
			for range rapid.IntRange(1, 4).Draw(rt, "entries") {
				e := r.entry(rapid.SliceOfN(anyOp(r.position().Data), 1, 5).Draw(rt, "ops")...)
				entries = append(entries, e)
				decoded, err := record.DecodeEntry(e.Cmd)
				if err != nil {
					rt.Fatal(err)
				}
				if _, err := state.Apply(twin, e.Index, decoded); err != nil {
					rt.Fatal(err)
				}
			}
			if _, err := r.Update(entries); err != nil {
				rt.Fatal(err)
			}
			r.compareWith(rt, twin)
			switch rapid.IntRange(0, 5).Draw(rt, "then") {
			case 0:
				r.restart()
			case 1:
				if err := r.RecoverFromSnapshot(bytes.NewReader(r.stream()), nil); err != nil {
					rt.Fatal(err)
				}
			case 2:
				if err := r.live.Flush(); err != nil {
					rt.Fatal(err)
				}
			}
		}
	})
}

func (r *replica) compareWith(t *rapid.T, twin *state.Memory) {
	want, err := state.Hash(twin)
	if err != nil {
		t.Fatal(err)
	}
	if got := r.hash(); got != want {
		t.Fatal("the state is not that of the twin")
	}
	for _, name := range []string{"a", "b", "b\x00", "c/d", "", "none"} {
		want, exists, err := state.Get(twin, testKey(name), 0)
		if err != nil {
			t.Fatal(err)
		}
		for range 2 { // filled by the first read at the latest
			got, found, at, err := r.Get(testKey(name), 0)
			if err != nil || found != exists || fmt.Sprint(got) != fmt.Sprint(want) || at != r.position() {
				t.Fatalf("%q is %+v, %v, %v; the twin has %+v, %v", name, got, found, err, want, exists)
			}
		}
	}
}
