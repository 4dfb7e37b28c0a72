package state_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"

	"supercluster/internal/fault"
	"supercluster/region/record"
	"supercluster/region/state"
)

var errDisk = errors.New("disk gone")

// brittle is a KV that fails at its n-th call, and watches how it is used.
type brittle struct {
	state.KV
	t     *testing.T
	calls int
	fail  int
	open  int
}

func (b *brittle) step() error {
	b.calls++
	if b.calls == b.fail {
		return errDisk
	}
	return nil
}

func (b *brittle) Get(key []byte) ([]byte, bool, error) {
	if err := b.step(); err != nil {
		return nil, false, err
	}
	return b.KV.Get(key)
}

func (b *brittle) GetAll(keys [][]byte, fn func(i int, value []byte, found bool) error) error {
	if err := b.step(); err != nil {
		return err
	}
	return b.KV.GetAll(keys, fn)
}

func (b *brittle) Foresee(prefixes [][]byte) error {
	if err := b.step(); err != nil {
		return err
	}
	return b.KV.Foresee(prefixes)
}

func (b *brittle) First(from, to []byte) (key, value []byte, found bool, err error) {
	if err := b.step(); err != nil {
		return nil, nil, false, err
	}
	return b.KV.First(from, to)
}

func (b *brittle) Scan(from, to []byte, reverse bool) (state.Iterator, error) {
	if err := b.step(); err != nil {
		return nil, err
	}
	it, err := b.KV.Scan(from, to, reverse)
	b.open++
	return &brittleIterator{it, b}, err
}

func (b *brittle) Set(key, value []byte) error {
	if b.open > 0 {
		b.t.Error("a row is set while an iterator is open")
	}
	if err := b.step(); err != nil {
		return err
	}
	return b.KV.Set(key, value)
}

func (b *brittle) Delete(key []byte) error {
	if b.open > 0 {
		b.t.Error("a row is deleted while an iterator is open")
	}
	if err := b.step(); err != nil {
		return err
	}
	return b.KV.Delete(key)
}

type brittleIterator struct {
	state.Iterator
	b *brittle
}

func (it *brittleIterator) Close() error {
	it.b.open--
	if err := it.b.step(); err != nil {
		return err
	}
	return it.Iterator.Close()
}

// everything is an entry that goes through every part of Apply.
func everything(t *testing.T) *record.Entry {
	e := &record.Entry{Level: 1, Replica: 1, Boot: 2, Sequence: 1}
	for _, line := range []string{
		"req=r1 seen=9 put config:app 2", "txn if val(a)=1 then put a 2 prev ; range - - ; delrange b c ; get a",
		"compact 1 41", "put config:app 3", "del config:app", "put config:app 4", "purge 1 100", "tenant-delete acme",
		"tenant-create other", "ns-create other prod", "ns-delete other prod", "alarm on 1", "alarm off 1", "identity 1 renamed",
		"compact 1 46", "purge 1 100",
	} {
		e.Ops = append(e.Ops, mustParse(t, line))
	}
	return e
}

func everythingBefore(t *testing.T) *world {
	w := newRegion(t)
	w.apply(t, &record.Entry{Level: 1, Replica: 1, Boot: 1, Sequence: 1, Ops: []record.Op{mustParse(t, "tenant-create acme")}})
	for i := range 40 {
		w.line(t, fmt.Sprintf("put config:app %d", i))
	}
	w.line(t, "put a 1")
	w.line(t, "put b 1")
	return w
}

// Whatever call fails, Apply gives the error, leaves no iterator open, and never writes while one is.
func TestApply_PassesOnEveryErrorOfTheStore(t *testing.T) {
	before := everythingBefore(t)
	e := everything(t)
	for fail := 1; ; fail++ {
		b := &brittle{KV: before.kv.Snapshot(), t: t, fail: fail}
		out, err := state.Apply(b, before.index+1, e)
		if b.open != 0 {
			t.Fatalf("call %d failed: %d iterators stay open", fail, b.open)
		}
		if b.calls < fail {
			if err != nil || fail < 100 {
				t.Fatalf("after %d calls: %v", fail, err)
			}
			for i, r := range out.Results {
				if r.Status != record.StatusOK {
					t.Errorf("operation %d: %s", i+1, formatResult(r))
				}
			}
			return
		}
		if !errors.Is(err, errDisk) {
			t.Fatalf("call %d failed and Apply says %v", fail, err)
		}
	}
}

func TestReads_PassOnEveryErrorOfTheStore(t *testing.T) {
	w := everythingBefore(t)
	w.apply(t, everything(t))
	reads := map[string]func(state.Reader) error{
		"get": func(r state.Reader) error { _, _, err := state.Get(r, key("a"), 46); return err },
		"range": func(r state.Reader) error {
			_, err := state.ReadRange(r, record.Range{Shard: 1, Tenant: 1, Namespace: 1, Kind: record.KindConfig}, 46)
			return err
		},
		"history":   func(r state.Reader) error { _, err := state.History(r, key("config:app"), 0); return err },
		"commits":   func(r state.Reader) error { _, err := state.Commits(r, 1, 46, 0); return err },
		"summarize": func(r state.Reader) error { _, err := state.Summarize(r); return err },
		"count":     func(r state.Reader) error { _, _, err := state.Count(r, 1, 0); return err },
		"hash":      func(r state.Reader) error { _, err := state.Hash(r); return err },
		"snapshot":  func(r state.Reader) error { return state.WriteSnapshot(io.Discard, r) },
		"load": func(r state.Reader) error {
			return state.Load(r, []record.Kind{record.KindConfig}, func(record.Record) error { return nil })
		},
	}
	for name, read := range reads {
		for fail := 1; ; fail++ {
			b := &brittle{KV: w.kv, t: t, fail: fail}
			err := read(b)
			if b.open != 0 {
				t.Fatalf("%s: call %d failed: %d iterators stay open", name, fail, b.open)
			}
			if b.calls < fail {
				if err != nil || fail == 1 {
					t.Errorf("%s after %d calls: %v", name, fail, err)
				}
				break
			}
			if !errors.Is(err, errDisk) {
				t.Errorf("%s: call %d failed and it says %v", name, fail, err)
			}
		}
	}
}

// A row that is damaged or of a later format stops the replica with an instruction; nothing panics.
func TestApply_StopsOnRowsItCannotRead(t *testing.T) {
	before := everythingBefore(t)
	e := everything(t)
	it, err := before.kv.Scan(nil, nil, false)
	if err != nil {
		t.Fatal(err)
	}
	stopped := map[record.Space]bool{}
	for it.Next() {
		if len(it.Value()) == 0 {
			continue
		}
		for _, value := range [][]byte{{}, {1}, {99}, append([]byte{77}, it.Value()[1:]...)} {
			kv := before.kv.Snapshot()
			if err := kv.Set(it.Key(), value); err != nil {
				t.Fatal(err)
			}
			_, err := state.Apply(kv, before.index+1, e)
			if err == nil {
				continue // the entry did not need that row
			}
			f, ok := fault.As(err)
			if !ok || f.Kind != fault.Corrupt && f.Kind != fault.Unsupported || f.Hint == "" {
				t.Fatalf("row %x = %x: %v", it.Key(), value, err)
			}
			stopped[it.Key()[0]] = true
		}
	}
	for _, space := range []record.Space{record.SpaceMeta, record.SpaceVersions, record.SpaceTransactions, record.SpaceCounters} {
		if !stopped[space] {
			t.Errorf("no damage in space %d was seen", space)
		}
	}
}

func TestApply_StopsOnEntriesItCannotJudge(t *testing.T) {
	w := newRegion(t)
	tests := []struct {
		name  string
		index uint64
		entry record.Entry
		kind  fault.Kind
	}{
		{"too new a level", 2, record.Entry{Level: record.FeatureLevel + 1}, fault.Unsupported},
		{"unknown operation", 2, record.Entry{Ops: []record.Op{{Type: 99}}}, fault.Unsupported},
		{"operation without a body", 2, record.Entry{Ops: []record.Op{{Type: record.OpTxn}}}, fault.Unsupported},
		{"an index again", 1, record.Entry{}, fault.Internal},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if _, err := state.Apply(w.kv.Snapshot(), tt.index, &tt.entry); !fault.Is(err, tt.kind) {
				t.Errorf("%v; want %v", err, tt.kind)
			}
		})
	}
}

// A replica that comes from a snapshot of a later level must not go on.
func TestApply_StopsOnStateOfALaterLevel(t *testing.T) {
	kv := state.NewMemory()
	if err := kv.Set(record.HeadKey(), record.AppendHead(nil, &record.Head{Level: record.FeatureLevel + 1})); err != nil {
		t.Fatal(err)
	}
	_, err := state.Apply(kv, 1, &record.Entry{Level: 1})
	if !fault.Is(err, fault.Unsupported) || !strings.Contains(err.Error(), "upgrade") {
		t.Errorf("%v", err)
	}
}

func TestHash_LeavesOutWhatIsLocal(t *testing.T) {
	w := newRegion(t)
	before := w.hash(t)
	if err := w.kv.Set([]byte{record.SpaceLocal, 1}, []byte("mine")); err != nil {
		t.Fatal(err)
	}
	w.apply(t, &record.Entry{Level: 1})
	if after := w.hash(t); !bytes.Equal(before, after) {
		t.Errorf("the hash %x became %x", before, after)
	}
	w.line(t, "put a 1")
	if after := w.hash(t); bytes.Equal(before, after) {
		t.Error("the hash does not see a put")
	}
}
