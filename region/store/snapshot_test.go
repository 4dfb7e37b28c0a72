package store

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	sm "github.com/lni/dragonboat/v4/statemachine"

	"supercluster/internal/fault"
	"supercluster/region/record"
)

// stream gives the state as a snapshot stream.
func (r *replica) stream() []byte {
	r.tb.Helper()
	pinned, err := r.PrepareSnapshot()
	if err != nil {
		r.tb.Fatal(err)
	}
	var b bytes.Buffer
	if err := r.SaveSnapshot(pinned, &b, nil); err != nil {
		r.tb.Fatal(err)
	}
	return b.Bytes()
}

// grown makes a store with some thousands of rows, history and tombstones.
func grown(t testing.TB, cfg Config) *replica {
	r := start(t, cfg)
	for i := range 100 {
		var ops []record.Op
		for j := range 10 {
			ops = append(ops, put(numbered("k", (i*13+j)%300), strings.Repeat("v", 200)+fmt.Sprint(i)))
		}
		r.must(append(ops, del(numbered("k", i)))...)
	}
	return r
}

func TestSnapshot_MovesTheWholeState(t *testing.T) {
	leader := grown(t, testConfig(vfs.NewMem()))
	stream := leader.stream()
	follower := start(t, testConfig(vfs.NewMem()))
	follower.must(put("old", "1"))
	if err := follower.RecoverFromSnapshot(bytes.NewReader(stream), nil); err != nil {
		t.Fatal(err)
	}
	compare := func() {
		t.Helper()
		if follower.hash() != leader.hash() {
			t.Error("the states differ")
		}
		if got, _ := follower.Published(); got.Positions != leader.position() || got.Applied != leader.index {
			t.Errorf("published is %+v, want %+v at entry %d", got, leader.position(), leader.index)
		}
		if got := follower.value("old"); got != "" {
			t.Errorf("a record of the old state is still there: %q", got)
		}
	}
	compare()
	follower.restart()
	compare()
	e := leader.entry(put("new", "1"))
	for _, r := range []*replica{leader, follower} {
		if _, err := r.Update([]sm.Entry{e}); err != nil {
			t.Fatal(err)
		}
	}
	compare()
	if names, _ := follower.folder.fs.List("state"); len(names) != 3 {
		t.Errorf("the folder has %v", names)
	}
}

// The stream shows the moment of PrepareSnapshot, though updates go on.
func TestSnapshot_ShowsTheMomentItWasPrepared(t *testing.T) {
	leader := grown(t, testConfig(vfs.NewMem()))
	want, index := leader.hash(), leader.index
	pinned, err := leader.PrepareSnapshot()
	if err != nil {
		t.Fatal(err)
	}
	leader.must(put("later", "1"), deleteAll("k-0000", "k-0100"))
	var b bytes.Buffer
	if err := leader.SaveSnapshot(pinned, &b, nil); err != nil {
		t.Fatal(err)
	}
	follower := start(t, testConfig(vfs.NewMem()))
	if err := follower.RecoverFromSnapshot(&b, nil); err != nil {
		t.Fatal(err)
	}
	if p, _ := follower.Published(); follower.hash() != want || p.Applied != index {
		t.Errorf("the stream is not of entry %d but of %d", index, p.Applied)
	}
}

// failingWriter fails after some bytes, as Dragonboat's does when the connection is lost.
type failingWriter struct {
	left int
	err  error
	then func()
}

func (w *failingWriter) Write(p []byte) (int, error) {
	if w.left -= len(p); w.left < 0 {
		if w.then != nil {
			w.then()
			return len(p), nil
		}
		return 0, w.err
	}
	return len(p), nil
}

func TestSaveSnapshot_StopsAsTheLibraryWants(t *testing.T) {
	r := grown(t, testConfig(vfs.NewMem()))
	save := func(w *failingWriter, stop chan struct{}) error {
		pinned, err := r.PrepareSnapshot()
		if err != nil {
			t.Fatal(err)
		}
		return r.SaveSnapshot(pinned, w, stop)
	}
	if err := save(&failingWriter{left: 1000, err: sm.ErrSnapshotStreaming}, nil); err != sm.ErrSnapshotStreaming {
		t.Errorf("a lost connection gives %v", err)
	}
	stop := make(chan struct{})
	if err := save(&failingWriter{left: 1000, then: sync.OnceFunc(func() { close(stop) })}, stop); err != sm.ErrSnapshotStopped {
		t.Errorf("a stopped replica gives %v", err)
	}
	if _, err := r.PrepareSnapshot(); err != nil { // never saved: Close lets go of it
		t.Fatal(err)
	}
	if err := r.Close(); err != nil {
		t.Error(err)
	}
}

// While a recovery is under way, readers see the old state; those that hold it keep it until they are done.
func TestRecover_ReadersKeepTheStateTheyRead(t *testing.T) {
	stream := grown(t, testConfig(vfs.NewMem())).stream()
	follower := start(t, testConfig(vfs.NewMem()))
	follower.must(put("old-1", "1"), put("old-2", "1"))
	seen := 0
	at, err := follower.Load(t.Context(), []record.Kind{record.KindService}, func(rec record.Record) error {
		if seen++; seen == 1 {
			follower.folder.step = func(step string) error {
				if step == "recover flush" && follower.value("old-1") != "1" {
					t.Error("the old state is not read while the new one is built")
				}
				return nil
			}
			if err := follower.RecoverFromSnapshot(bytes.NewReader(stream), nil); err != nil {
				return err
			}
			_, err := follower.folder.fs.Stat("state/db-000001")
			return err // it has a reader: us
		}
		return nil
	})
	if err != nil || seen != 2 || at == follower.position() {
		t.Errorf("Load saw %d old records (%v)", seen, err)
	}
	if got := follower.value("old-1"); got != "" {
		t.Errorf("the cache answers from the old state: %q", got)
	}
	if _, err := follower.folder.fs.Stat("state/db-000001"); err == nil {
		t.Error("the old database is still on disk after its last reader")
	}
}

// A damaged stream changes nothing and stops the replica; a snapshot older than the state is refused.
func TestRecover_RefusesWhatIsNotAWholeSnapshot(t *testing.T) {
	leader := grown(t, testConfig(vfs.NewMem()))
	old := leader.stream()
	leader.must(put("a", "1"))
	stream := leader.stream()
	flipped := bytes.Clone(stream)
	flipped[len(flipped)/2] ^= 1
	tests := []struct {
		name   string
		stream []byte
	}{
		{"empty", nil},
		{"cut", stream[:len(stream)-10]},
		{"cut early", stream[:100]},
		{"flipped bit", flipped},
		{"older", old},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			fs := vfs.NewMem()
			r := start(t, testConfig(fs))
			if err := r.RecoverFromSnapshot(bytes.NewReader(stream), nil); err != nil {
				t.Fatal(err)
			}
			want := r.hash()
			if err := r.RecoverFromSnapshot(bytes.NewReader(tt.stream), nil); !fault.Is(err, fault.Corrupt) {
				t.Errorf("recovery gives %v", err)
			}
			if r.hash() != want {
				t.Error("the state changed")
			}
			if err := r.Close(); err != nil {
				t.Fatal(err)
			}
			if after := start(t, testConfig(fs)); after.hash() != want {
				t.Error("the state changed on disk")
			}
		})
	}
}

func TestRecover_HonoursTheStopChannelAndRunsAgain(t *testing.T) {
	leader := grown(t, testConfig(vfs.NewMem()))
	stream := leader.stream()
	r := start(t, testConfig(vfs.NewMem()))
	stop := make(chan struct{})
	close(stop)
	want := r.hash()
	if err := r.RecoverFromSnapshot(bytes.NewReader(stream), stop); err != sm.ErrSnapshotStopped {
		t.Fatalf("a stopped recovery gives %v", err)
	}
	if r.hash() != want {
		t.Error("a stopped recovery changed the state")
	}
	if err := r.RecoverFromSnapshot(bytes.NewReader(stream), nil); err != nil {
		t.Fatal(err)
	}
	if r.hash() != leader.hash() {
		t.Error("the repeated recovery gives another state")
	}
}

// I6: kill the machine at every step of a recovery, losing what was not synced wholly or in part. The folder opens as
// the old or the new state, and the recovery can run again.
func TestRecover_SurvivesAKillAtEveryStep(t *testing.T) {
	leader := grown(t, testConfig(vfs.NewMem()))
	stream, newHash := leader.stream(), leader.hash()
	steps := recoverySteps(t, stream)
	if len(steps) < 6 {
		t.Fatalf("a recovery has steps %v", steps)
	}
	for kill := range steps {
		for lost, percent := range []int{0, 50, 100} {
			name := fmt.Sprintf("%d %s, %d%% of the unsynced kept", kill, steps[kill], percent)
			t.Run(name, func(t *testing.T) {
				r := start(t, testConfig(vfs.NewCrashableMem()))
				r.must(put("old", "1"))
				if err := r.Sync(); err != nil {
					t.Fatal(err)
				}
				oldHash := r.hash()
				var after *vfs.MemFS
				n := 0
				r.folder.step = func(string) error {
					if n++; n-1 == kill {
						cfg := vfs.CrashCloneCfg{UnsyncedDataPercent: percent}
						if percent > 0 {
							cfg.RNG = rand.New(rand.NewPCG(uint64(kill), uint64(lost)))
						}
						after = r.cfg.FS.(*vfs.MemFS).CrashClone(cfg)
					}
					return nil
				}
				if err := r.RecoverFromSnapshot(bytes.NewReader(stream), nil); err != nil {
					t.Fatal(err)
				}
				again := start(t, testConfig(after))
				if got := again.hash(); got != oldHash && got != newHash {
					t.Fatal("the folder opens as neither state")
				} else if got == oldHash {
					if err := again.RecoverFromSnapshot(bytes.NewReader(stream), nil); err != nil {
						t.Fatal(err)
					}
				}
				if again.hash() != newHash {
					t.Error("the repeated recovery gives another state")
				}
				if names, _ := after.List("state"); len(names) != 3 {
					t.Errorf("the folder has %v", names)
				}
			})
		}
	}
}

func recoverySteps(t *testing.T, stream []byte) (steps []string) {
	r := start(t, testConfig(vfs.NewMem()))
	r.folder.step = func(step string) error {
		steps = append(steps, step)
		return nil
	}
	if err := r.RecoverFromSnapshot(bytes.NewReader(stream), nil); err != nil {
		t.Fatal(err)
	}
	return steps
}

// A failing disk at any step of a recovery stops the replica and leaves a folder that opens.
func TestRecover_FailsCleanlyAtEveryStep(t *testing.T) {
	leader := grown(t, testConfig(vfs.NewMem()))
	stream := leader.stream()
	errDisk := errors.New("the disk is gone")
	for fail, step := range recoverySteps(t, stream) {
		t.Run(fmt.Sprint(fail, " ", step), func(t *testing.T) {
			fs := vfs.NewMem()
			reported := 0
			cfg := testConfig(fs)
			cfg.Fatal = func(error) { reported++ }
			r := start(t, cfg)
			r.must(put("old", "1"))
			oldHash := r.hash()
			n := 0
			r.folder.step = func(string) error {
				if n++; n-1 == fail {
					return errDisk
				}
				return nil
			}
			if err := r.RecoverFromSnapshot(bytes.NewReader(stream), nil); !errors.Is(err, errDisk) || reported != 1 {
				t.Fatalf("recovery gives %v, reported %d times", err, reported)
			}
			if err := r.Close(); err != nil {
				t.Fatal(err)
			}
			after := start(t, testConfig(fs))
			if got := after.hash(); got != oldHash && got != leader.hash() {
				t.Error("the folder opens as neither state")
			}
		})
	}
}

// A follower of events sees no gap when its node is caught up by a snapshot: the transaction log comes with it.
func TestFollow_AcrossARecovery(t *testing.T) {
	leader, lagging := start(t, testConfig(vfs.NewMem())), start(t, testConfig(vfs.NewMem()))
	from := lagging.position()
	var log []sm.Entry
	write := func(n int) {
		for i := range n {
			e := leader.entry(put(numbered("k", i%5), fmt.Sprint(leader.position().Data+1)))
			if _, err := leader.Update([]sm.Entry{e}); err != nil {
				t.Fatal(err)
			}
			log = append(log, e)
		}
	}
	write(10)
	if _, err := lagging.Update(append([]sm.Entry(nil), log...)); err != nil {
		t.Fatal(err)
	}
	write(100)
	end := leader.position()
	end.Data += 5
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	var wg sync.WaitGroup
	for f := range 4 {
		started := make(chan struct{})
		wg.Go(func() {
			w, once := witness{at: from}, sync.OnceFunc(func() { close(started) })
			err := lagging.Follow(ctx, from, 0, func(commits []record.Commit, at record.Positions) error {
				once()
				time.Sleep(time.Duration(f) * time.Millisecond)
				if err := w.take(commits, at); err != nil {
					return err
				}
				if w.at == end {
					return errSeenAll
				}
				return nil
			})
			if !errors.Is(err, errSeenAll) {
				t.Errorf("follower %d: %v at %+v", f, err, w.at)
			}
		})
		<-started
	}
	if err := lagging.RecoverFromSnapshot(bytes.NewReader(leader.stream()), nil); err != nil {
		t.Fatal(err)
	}
	log = nil
	write(5)
	if _, err := lagging.Update(log); err != nil {
		t.Fatal(err)
	}
	wg.Wait()
}
