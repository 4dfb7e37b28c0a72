package store

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"
	sm "github.com/lni/dragonboat/v4/statemachine"

	"supercluster/internal/fault"
	"supercluster/region/record"
)

func TestReads_AtPastRevisions(t *testing.T) {
	r := start(t, testConfig(vfs.NewMem()))
	var at []uint64
	for i := range 5 {
		at = append(at, r.must(put("a", numbered("v", i)), put(numbered("other", i), "x")).Revision)
	}
	gone := r.must(del("a")).Revision
	for round := range 2 { // from memory tables, then from disk
		for i, revision := range at {
			rec, found, _, err := r.Get(testKey("a"), revision)
			if err != nil || !found || string(rec.Value) != numbered("v", i) || rec.Version != uint64(i+1) {
				t.Errorf("round %d: a at revision %d is %+v, %v, %v", round, revision, rec, found, err)
			}
			got, _, err := r.Range(testRange("", ""), revision)
			if err != nil || got.Count != uint64(i+2) {
				t.Errorf("round %d: at revision %d there are %d records (%v), want %d", round, revision, got.Count, err, i+2)
			}
		}
		if _, found, _, err := r.Get(testKey("a"), gone); found || err != nil {
			t.Errorf("a is there after its deletion: %v, %v", found, err)
		}
		if history, _, err := r.History(testKey("a"), 0); err != nil || len(history) != 6 || !history[0].Deleted {
			t.Errorf("history has %d versions (%v)", len(history), err)
		}
		if err := r.live.Flush(); err != nil {
			t.Fatal(err)
		}
	}
	if _, _, _, err := r.Get(testKey("a"), gone+1); !fault.Is(err, fault.FutureRevision) {
		t.Errorf("a read in the future gives %v", err)
	}
	r.must(compact(at[3]))
	if _, _, _, err := r.Get(testKey("a"), at[2]); !fault.Is(err, fault.Compacted) {
		t.Errorf("a read before the compacted revision gives %v", err)
	}
	r.must(purge(1000))
	if rec, found, _, err := r.Get(testKey("a"), at[3]); err != nil || !found || string(rec.Value) != numbered("v", 3) {
		t.Errorf("after the purge, a at the compacted revision is %+v, %v, %v", rec, found, err)
	}
}

// A batch is seen whole or not at all, from memory and from disk, whoever reads while it is applied.
func TestReads_SeeWholeBatches(t *testing.T) {
	cfg := testConfig(vfs.NewMem())
	cfg.CacheBytes = 64 << 10 // small enough that both paths are taken
	r := start(t, cfg)
	const keys = 50
	ctx, cancel := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	defer wg.Wait()
	defer cancel()
	r.must(put(numbered("k", 0), "0"))
	for range 2 {
		wg.Go(func() {
			for ctx.Err() == nil {
				if err := r.checkWholeBatch(); err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	wg.Go(func() {
		for last := ""; ctx.Err() == nil; {
			got := r.value(numbered("k", 0))
			if len(got) < len(last) || len(got) == len(last) && got < last {
				t.Errorf("Get went back from %q to %q", last, got)
				return
			}
			last = got
		}
	})
	for i := 1; i <= 60; i++ {
		var ops []record.Op
		for k := range keys {
			ops = append(ops, put(numbered("k", k), fmt.Sprint(i)))
		}
		if _, err := r.Update([]sm.Entry{r.entry(ops[:keys/2]...), r.entry(ops[keys/2:]...)}); err != nil {
			t.Fatal(err)
		}
	}
}

// checkWholeBatch expects that all records have the value of the same batch.
func (r *replica) checkWholeBatch() error {
	result, at, err := r.Range(testRange("", ""), 0)
	if err != nil {
		return err
	}
	for _, rec := range result.Records {
		if string(rec.Value) != string(result.Records[0].Value) {
			return fmt.Errorf("%s is of batch %s, %s of batch %s", rec.Key.Name, rec.Value, result.Records[0].Key.Name, result.Records[0].Value)
		}
		if rec.ModifyRevision > at.Data {
			return fmt.Errorf("%s is at revision %d; the read was at %d", rec.Key.Name, rec.ModifyRevision, at.Data)
		}
	}
	return nil
}

func TestLoad_ShowsOneMoment(t *testing.T) {
	r := start(t, testConfig(vfs.NewMem()))
	for i := range 10 {
		r.must(put(numbered("k", i), "before"))
	}
	want := r.position()
	seen := 0
	at, err := r.Load(t.Context(), []record.Kind{record.KindService}, func(rec record.Record) error {
		if seen == 0 {
			r.must(put(numbered("k", 9), "after"), put("k-9999", "after"), del(numbered("k", 5)))
		}
		seen++
		if string(rec.Value) != "before" {
			t.Errorf("%s = %q", rec.Key.Name, rec.Value)
		}
		return nil
	})
	if err != nil || seen != 10 || at != want {
		t.Errorf("Load saw %d records at %+v (%v), want 10 at %+v", seen, at, err, want)
	}
	errEnough := errors.New("enough")
	if _, err := r.Load(t.Context(), []record.Kind{record.KindService}, func(record.Record) error { return errEnough }); !errors.Is(err, errEnough) {
		t.Errorf("Load gives %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := r.Load(ctx, []record.Kind{record.KindService}, func(record.Record) error { return nil }); !fault.Is(err, fault.Canceled) {
		t.Errorf("Load with an ended context gives %v", err)
	}
}

// The second read of a record comes from memory, and so does a read after a write; a flushed and compacted store
// gives the same.
func TestGet_ComesFromMemory(t *testing.T) {
	fs := vfs.NewMem()
	r := start(t, testConfig(fs))
	r.must(put("a", "1"), put("gone", "1"))
	r.must(del("gone"))
	check := func(wantHits, wantMisses uint64) {
		t.Helper()
		hits, misses := r.cache.hits.Load(), r.cache.misses.Load()
		if got := r.value("a"); got != "1" {
			t.Errorf("a = %q", got)
		}
		if got := r.value("gone"); got != "" {
			t.Errorf("gone = %q", got)
		}
		if h, m := r.cache.hits.Load()-hits, r.cache.misses.Load()-misses; h != wantHits || m != wantMisses {
			t.Errorf("%d hits and %d misses, want %d and %d", h, m, wantHits, wantMisses)
		}
	}
	check(2, 0) // written through
	r.restart()
	check(0, 2)
	check(2, 0) // filled
	rec, _, _, err := r.Get(testKey("a"), 0)
	fromDisk, _, _, err2 := r.Get(testKey("a"), rec.ModifyRevision)
	if err != nil || err2 != nil || fmt.Sprint(rec) != fmt.Sprint(fromDisk) {
		t.Errorf("from memory %+v, from disk %+v (%v, %v)", rec, fromDisk, err, err2)
	}
}

// Update writes rows through before it publishes them: a reader in between must not see them.
func TestGet_IgnoresWhatIsNotPublishedYet(t *testing.T) {
	r := start(t, testConfig(vfs.NewMem()))
	r.must(put("a", "published"))
	newer := record.Record{Key: testKey("a"), Value: []byte("not yet"), CreateRevision: 2, Version: 2}
	r.cache.put(newHead(record.AppendVersionKey(nil, newer.Key, r.position().Data+1), record.AppendVersion(nil, &newer, 0)))
	if got := r.value("a"); got != "published" {
		t.Errorf("a = %q", got)
	}
}

// Views that nobody reads any more let go of what they pinned; only the published one holds a Pebble snapshot.
func TestViews_AreReleased(t *testing.T) {
	r := start(t, testConfig(vfs.NewMem()))
	for i := range 20 {
		r.must(put("a", numbered("v", i)))
		if _, _, err := r.History(testKey("a"), 0); err != nil {
			t.Fatal(err)
		}
	}
	if n := r.live.Metrics().Snapshots.Count; n != 1 {
		t.Errorf("%d snapshots are open, want 1", n)
	}
}

func TestSummary(t *testing.T) {
	r := start(t, testConfig(vfs.NewMem()))
	r.must(put("a", "1"), put("b", "2"), createTenant("acme"))
	s, err := r.Summary()
	if err != nil || s.AppliedIndex != r.index || s.Positions != r.position() || s.RegionName != "test" || s.Keys < 2 {
		t.Errorf("Summary() = %+v, %v", s, err)
	}
}
