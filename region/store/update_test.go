package store

import (
	"bytes"
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	sm "github.com/lni/dragonboat/v4/statemachine"

	"supercluster/internal/fault"
	"supercluster/region/record"
)

func TestUpdate_AppliesABatchAndAnswersEachEntry(t *testing.T) {
	r := start(t, testConfig(vfs.NewMem()))
	before := r.position()
	entries, err := r.Update([]sm.Entry{
		r.entry(put("a", "1"), put("b", "2")),
		r.entry(put("a", "3")),
		r.entry(del("nothing")),
	})
	if err != nil {
		t.Fatal(err)
	}
	want := [][]uint64{{before.Data + 1, before.Data + 2}, {before.Data + 3}, {before.Data + 3}}
	for i, revisions := range want {
		results := r.results(entries[i])
		if len(results) != len(revisions) {
			t.Fatalf("entry %d has %d results, want %d", i, len(results), len(revisions))
		}
		for j, revision := range revisions {
			if results[j].Status != record.StatusOK || results[j].Revision != revision {
				t.Errorf("entry %d, operation %d: %+v, want revision %d", i, j, results[j], revision)
			}
		}
	}
	p, _ := r.Published()
	if p.Positions != before.With(record.ShardData, before.Data+3) || p.Applied != r.index {
		t.Errorf("published is %+v, want revision %d at entry %d", p, before.Data+3, r.index)
	}
	if a, b := r.value("a"), r.value("b"); a != "3" || b != "2" {
		t.Errorf("a = %q, b = %q", a, b)
	}
}

// Only the replica that proposed an entry, and all for one of nobody's, give its results to Dragonboat.
func TestUpdate_AnswersOwnEntriesOnly(t *testing.T) {
	r := start(t, testConfig(vfs.NewMem()))
	for replica, answered := range map[uint64]bool{0: true, 1: true, 2: false} {
		r.index++
		cmd, err := record.AppendEntry(nil, &record.Entry{
			Level: 1, Replica: replica, Boot: 1, Sequence: 1, Ops: []record.Op{put("a", "1"), put("b", "2")},
		})
		if err != nil {
			t.Fatal(err)
		}
		entries, err := r.Update([]sm.Entry{{Index: r.index, Cmd: cmd}})
		if err != nil {
			t.Fatal(err)
		}
		if got := entries[0].Result; (got.Data != nil) != answered || got.Value != 2 {
			t.Errorf("an entry of replica %d has the result %+v", replica, got)
		}
	}
}

func TestUpdate_KeepsTheIndexOfRejectedEntries(t *testing.T) {
	r := start(t, testConfig(vfs.NewMem()))
	bad := put("a", "1")
	bad.Txn.Then = append(bad.Txn.Then, bad.Txn.Then[0]) // a key changes twice
	if got := r.apply(bad)[0].Status; got == record.StatusOK {
		t.Fatal("the entry was taken")
	}
	index := r.index
	r.restart()
	if r.index != index {
		t.Errorf("after a restart the state is at entry %d, want %d", r.index, index)
	}
}

func TestUpdate_CmdMayBeReusedAfterwards(t *testing.T) {
	r := start(t, testConfig(vfs.NewMem()))
	from := r.position()
	e := r.entry(put("a", "value"))
	if _, err := r.Update([]sm.Entry{e}); err != nil {
		t.Fatal(err)
	}
	for i := range e.Cmd {
		e.Cmd[i] = 0xee
	}
	if got := r.value("a"); got != "value" {
		t.Errorf("a = %q", got)
	}
	ctx, cancel := context.WithCancel(t.Context())
	if err := r.Follow(ctx, from, 0, func(commits []record.Commit, _ record.Positions) error {
		if got := string(commits[0].Events[0].Record.Value); got != "value" {
			t.Errorf("the event has value %q", got)
		}
		cancel()
		return nil
	}); err != nil {
		t.Fatal(err)
	}
}

// What was applied comes back after a clean restart, and Dragonboat's replay of what a crash lost leads to the same
// state as if nothing had happened.
func TestUpdate_ReplayAfterACrash(t *testing.T) {
	for synced := range 4 {
		fs := vfs.NewCrashableMem()
		r := start(t, testConfig(fs))
		var log []sm.Entry
		for i := range 6 {
			log = append(log, r.entry(put(numbered("k", i%4), numbered("v", i)), put("x", numbered("x", i))))
		}
		for i := range log {
			if _, err := r.Update([]sm.Entry{log[i]}); err != nil {
				t.Fatal(err)
			}
			if i == synced {
				if err := r.Sync(); err != nil {
					t.Fatal(err)
				}
			}
		}
		want := r.hash()
		after := start(t, testConfig(fs.CrashClone(vfs.CrashCloneCfg{})))
		if after.index < log[synced].Index {
			t.Fatalf("after the crash the state is at entry %d; entry %d was synced", after.index, log[synced].Index)
		}
		for _, e := range log {
			if e.Index <= after.index {
				continue
			}
			if _, err := after.Update([]sm.Entry{e}); err != nil {
				t.Fatal(err)
			}
		}
		if after.hash() != want {
			t.Errorf("synced at %d: the replayed state differs", synced)
		}
	}
}

// One batch or many, the state is the same.
func TestUpdate_BatchingDoesNotMatter(t *testing.T) {
	one, many := start(t, testConfig(vfs.NewMem())), start(t, testConfig(vfs.NewMem()))
	var log []sm.Entry
	for i := range 40 {
		ops := []record.Op{put(numbered("k", i%7), numbered("v", i)), put(numbered("new", i), "x")}
		switch i % 10 {
		case 5:
			ops = append(ops, deleteAll("k-0001", "k-0003"))
		case 7:
			ops = append(ops, createTenant(numbered("tenant", i)))
		case 8:
			ops = append(ops, compact(uint64(i)), purge(5))
		}
		log = append(log, one.entry(ops...))
	}
	if _, err := one.Update(append([]sm.Entry(nil), log...)); err != nil {
		t.Fatal(err)
	}
	for _, e := range log {
		if _, err := many.Update([]sm.Entry{e}); err != nil {
			t.Fatal(err)
		}
	}
	if one.hash() != many.hash() {
		t.Error("one batch and many batches lead to different states")
	}
}

func TestUpdate_WhatCanNotBeAppliedStopsTheReplica(t *testing.T) {
	tests := []struct {
		name  string
		spoil func(*sm.Entry)
		kind  fault.Kind
		text  string
	}{
		{"flipped bit", func(e *sm.Entry) { e.Cmd[len(e.Cmd)/2] ^= 1 }, fault.Corrupt, "log entry"},
		{"empty", func(e *sm.Entry) { e.Cmd = nil }, fault.Corrupt, "log entry"},
		{"newer level", func(e *sm.Entry) {
			cmd, err := record.AppendEntry(nil, &record.Entry{Level: record.FeatureLevel + 1, Ops: []record.Op{put("a", "b")}})
			if err != nil {
				panic(err)
			}
			e.Cmd = cmd
		}, fault.Unsupported, "level"},
		{"index again", func(e *sm.Entry) { e.Index -= 1 }, fault.Corrupt, "again"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var reported []error
			cfg := testConfig(vfs.NewMem())
			cfg.Fatal = func(err error) { reported = append(reported, err) }
			r := start(t, cfg)
			r.must(put("a", "before"))
			before, _ := r.Published()
			good, bad := r.entry(put("a", "good")), r.entry(put("a", "bad"))
			tt.spoil(&bad)
			_, err := r.Update([]sm.Entry{good, bad})
			f, ok := fault.As(err)
			if !ok || f.Kind != tt.kind || !strings.Contains(f.Message, tt.text) || f.Hint == "" {
				t.Fatalf("Update failed with %v; want %v that mentions %q and says what to do", err, tt.kind, tt.text)
			}
			if len(reported) != 1 || !errors.Is(reported[0], err) {
				t.Errorf("reported: %v", reported)
			}
			if now, _ := r.Published(); now != before || r.value("a") != "before" {
				t.Errorf("half a batch is visible: %+v, a = %q", now, r.value("a"))
			}
			if _, err := r.Update([]sm.Entry{r.entry(put("a", "later"))}); err == nil {
				t.Error("the replica went on")
			}
			if len(reported) != 1 {
				t.Errorf("reported %d times", len(reported))
			}
		})
	}
}

func TestWait(t *testing.T) {
	r := start(t, testConfig(vfs.NewMem()))
	if err := r.Wait(t.Context(), r.index); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Millisecond)
	defer cancel()
	if err := r.Wait(ctx, r.index+1); !fault.Is(err, fault.Deadline) {
		t.Errorf("waiting for what does not come gives %v", err)
	}
	e := r.entry(put("a", "1"))
	done := make(chan error)
	go func() { done <- r.Wait(t.Context(), e.Index) }()
	if _, err := r.Update([]sm.Entry{e}); err != nil {
		t.Fatal(err)
	}
	if err := <-done; err != nil {
		t.Error(err)
	}
	go func() { done <- r.Wait(t.Context(), e.Index+100) }()
	if err := r.Close(); err != nil {
		t.Fatal(err)
	}
	if err := <-done; !fault.Is(err, fault.Unavailable) {
		t.Errorf("waiting on a closed store gives %v", err)
	}
}

func TestOpen_RefusesAMissingDatabase(t *testing.T) {
	fs := vfs.NewMem()
	r := start(t, testConfig(fs))
	r.must(put("a", "1"))
	if err := r.Close(); err != nil {
		t.Fatal(err)
	}
	if err := fs.RemoveAll("state/db-000001"); err != nil {
		t.Fatal(err)
	}
	var reported error
	cfg := testConfig(fs)
	cfg.Fatal = func(err error) { reported = err }
	s, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.Open(nil); err == nil || reported == nil {
		t.Errorf("an empty state took the place of a lost one: %v, %v", err, reported)
	}
}

func TestOpen_HonoursTheStopChannel(t *testing.T) {
	stop := make(chan struct{})
	close(stop)
	s, err := New(testConfig(vfs.NewMem()))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.Open(stop); !errors.Is(err, sm.ErrOpenStopped) {
		t.Errorf("Open with a closed stop channel gives %v", err)
	}
	if _, err := s.Open(nil); err != nil {
		t.Errorf("a stopped Open can not be repeated: %v", err)
	}
	if err := s.Close(); err != nil {
		t.Error(err)
	}
}

func TestStore_IsUnavailableWhileClosed(t *testing.T) {
	r := start(t, testConfig(vfs.NewMem()))
	if err := r.Close(); err != nil {
		t.Fatal(err)
	}
	ctx := t.Context()
	calls := map[string]func() error{
		"Get":     func() error { _, _, _, err := r.Get(testKey("a"), 0); return err },
		"Range":   func() error { _, _, err := r.Range(testRange("", ""), 0); return err },
		"History": func() error { _, _, err := r.History(testKey("a"), 0); return err },
		"Commits": func() error { _, _, err := r.Commits(1, 1, 1); return err },
		"Load":    func() error { _, err := r.Load(ctx, nil, nil); return err },
		"Summary": func() error { _, err := r.Summary(); return err },
		"Follow":  func() error { return r.Follow(ctx, record.Positions{}, 0, nil) },
		"Wait":    func() error { return r.Wait(ctx, 1) },
		"Update":  func() error { _, err := r.Update(nil); return err },
		"Sync":    r.Sync,
		"Prepare": func() error { _, err := r.PrepareSnapshot(); return err },
		"Recover": func() error { return r.RecoverFromSnapshot(&bytes.Buffer{}, nil) },
		"Disk":    func() error { _, err := r.DiskState(); return err },
	}
	for name, call := range calls {
		if err := call(); !fault.Is(err, fault.Unavailable) {
			t.Errorf("%s gives %v", name, err)
		}
	}
	if err := r.Close(); err != nil {
		t.Errorf("the second Close: %v", err)
	}
}

func TestDiskState_OnARealDisk(t *testing.T) {
	cfg := testConfig(nil)
	cfg.Dir = t.TempDir() + "/deep/state"
	cfg.DiskMargin = 1
	r := start(t, cfg)
	r.must(put("a", "1"))
	d, err := r.DiskState()
	if err != nil || d.Total == 0 || d.Free == 0 || d.State == 0 || d.Low {
		t.Errorf("DiskState() = %+v, %v", d, err)
	}
}

// A loss of power may leave any beginning of what was written. The state is then the one after some entry, whole, and
// names that entry.
func TestUpdate_AnyBeginningIsWhole(t *testing.T) {
	fs := vfs.NewMem()
	r := start(t, testConfig(fs))
	after := map[uint64][32]byte{r.index: r.hash()}
	for i := range 8 {
		r.must(put(numbered("k", i%3), numbered("v", i)), put("x", numbered("x", i)))
		after[r.index] = r.hash()
	}
	last := r.index
	if err := r.Sync(); err != nil {
		t.Fatal(err)
	}
	logs := filesOf(t, fs, "state", ".log")
	path := logs[len(logs)-1]
	whole := readFile(t, fs, path)
	seen := map[uint64]bool{}
	for cut := len(whole); cut > 0; cut -= 7 {
		seen[beginning(t, fs, path, whole[:cut], after)] = true
	}
	if !seen[last] || len(seen) < 5 {
		t.Errorf("the beginnings end after the entries %v of %d", seen, last)
	}
}

// beginning opens a copy of the files with another log, and gives the entry after which the state is; 0: before the first.
func beginning(t *testing.T, fs *vfs.MemFS, path string, log []byte, after map[uint64][32]byte) uint64 {
	t.Helper()
	copied := vfs.NewMem()
	if ok, err := vfs.Clone(fs, copied, "state", "state"); !ok || err != nil {
		t.Fatal(err)
	}
	mustWrite(t, copied, path, string(log))
	s, err := New(testConfig(copied))
	if err != nil {
		t.Fatal(err)
	}
	index, err := s.Open(nil)
	if err != nil {
		t.Fatalf("%d bytes of the log: %v", len(log), err)
	}
	defer s.Close()
	if index == 0 {
		return 0
	}
	if hash, _, err := s.Hash(); err != nil || hash != after[index] {
		t.Errorf("%d bytes of the log: the state is not the one after entry %d, which it names (%v)", len(log), index, err)
	}
	return index
}
