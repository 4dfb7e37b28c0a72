package store

import (
	"bytes"
	"errors"
	"fmt"
	"maps"
	"slices"
	"testing"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"
	"pgregory.net/rapid"

	"supercluster/region/record"
	"supercluster/region/state"
)

func testDB(t testing.TB) *pebble.DB {
	t.Helper()
	db, err := pebble.Open("db", &pebble.Options{FS: vfs.NewMem(), Comparer: newComparer(), FormatMajorVersion: formatVersion, Logger: &pebbleLog{}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := db.Close(); err != nil {
			t.Error(err)
		}
	})
	return db
}

// model drives an overlay and the in-memory twin with the same calls, batch after batch, and compares every answer.
type model struct {
	db       *pebble.DB
	cache    *cache
	fixed    *fixedRows
	overlay  *overlay
	base     *reader
	twin     *state.Memory
	revision uint64
	sequence uint64             // of the last publication
	earlier  []*pebble.Snapshot // by sequence - 1
}

func newModel(t testing.TB) *model {
	m := &model{db: testDB(t), cache: newCache(1 << 20), fixed: newFixedRows(), twin: state.NewMemory(), revision: 1}
	m.overlay = newOverlay(m.cache, m.fixed)
	return m
}

func (m *model) begin() {
	m.base = &reader{rows: m.db}
	m.overlay.begin(m.base, record.Positions{System: m.revision, Data: m.revision}, m.sequence)
}

func (m *model) commit(t *rapid.T) {
	batch := m.db.NewBatch()
	defer batch.Close()
	if err := m.overlay.fill(batch); err != nil {
		t.Fatal(err)
	}
	if err := m.base.close(); err != nil {
		t.Fatal(err)
	}
	if err := batch.Commit(pebble.NoSync); err != nil {
		t.Fatal(err)
	}
	m.sequence++
	m.overlay.writeThrough(m.sequence)
	m.earlier = append(m.earlier, m.db.NewSnapshot())
}

func (m *model) close(t *rapid.T) {
	for _, s := range m.earlier {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	}
}

func modelKey(t *rapid.T) record.Key {
	return record.Key{Shard: 1, Tenant: 1, Kind: record.KindConfig, Name: rapid.SampledFrom([]string{"a", "a\x00", "b", "b/c", "d"}).Draw(t, "name")}
}

// rowKey draws the key of a version of the present or the past, of a transaction, or of a row without a suffix.
func (m *model) rowKey(t *rapid.T) []byte {
	switch rapid.IntRange(0, 5).Draw(t, "row") {
	case 5:
		return record.AppendWindowKey(nil, rapid.Uint64Range(1, 3).Draw(t, "replica"), rapid.Uint64Range(0, 3).Draw(t, "group"))
	case 0:
		space := rapid.SampledFrom([]byte{record.SpaceMeta, record.SpaceOrigins}).Draw(t, "space")
		return append([]byte{space}, rapid.SampledFrom([]string{"x", "y"}).Draw(t, "meta")...)
	case 1:
		return record.AppendTransactionKey(nil, 1, rapid.Uint64Range(0, m.revision).Draw(t, "revision"))
	default:
		return record.AppendVersionKey(nil, modelKey(t), rapid.Uint64Range(1, m.revision).Draw(t, "revision"))
	}
}

func (m *model) bounds(t *rapid.T) (from, to []byte) {
	switch rapid.IntRange(0, 4).Draw(t, "bounds") {
	case 0: // all versions of a record
		from = record.AppendVersionPrefix(nil, modelKey(t))
		return from, record.PrefixSuccessor(bytes.Clone(from))
	case 1: // its versions as of a revision
		k := modelKey(t)
		from = record.AppendVersionKey(nil, k, rapid.Uint64Range(0, m.revision+1).Draw(t, "asOf"))
		return from, record.PrefixSuccessor(record.AppendVersionPrefix(nil, k))
	case 2:
		return []byte{record.SpaceMeta}, nil
	case 3: // its versions newer than a revision
		k := modelKey(t)
		return record.AppendVersionPrefix(nil, k), record.AppendVersionKey(nil, k, rapid.Uint64Range(0, m.revision+1).Draw(t, "newerThan"))
	default:
		return m.rowKey(t), m.rowKey(t)
	}
}

func (m *model) step(t *rapid.T) {
	switch rapid.IntRange(0, 6).Draw(t, "step") {
	case 6:
		m.foresee(t)
	case 0, 1:
		m.revision++
		m.set(t, record.AppendVersionKey(nil, modelKey(t), m.revision))
	case 2:
		m.set(t, m.rowKey(t))
	case 3:
		key := m.rowKey(t)
		if err := m.overlay.Delete(key); err != nil {
			t.Fatal(err)
		}
		_ = m.twin.Delete(key)
	case 4:
		m.compareRows(t)
	default:
		from, to := m.bounds(t)
		m.compareScan(t, from, to, rapid.Bool().Draw(t, "reverse"))
	}
}

// foresee says what will be looked for, mostly in order, and looks for some of it, for a reader has nothing else to compare.
func (m *model) foresee(t *rapid.T) {
	var prefixes [][]byte
	for range rapid.IntRange(0, 8).Draw(t, "prefixes") {
		prefixes = append(prefixes, record.AppendVersionPrefix(nil, modelKey(t)))
	}
	if rapid.IntRange(0, 3).Draw(t, "disorder") > 0 {
		slices.SortFunc(prefixes, bytes.Compare)
	}
	if err := m.overlay.Foresee(prefixes); err != nil {
		t.Fatal(err)
	}
	for _, prefix := range prefixes {
		m.compareFirst(t, prefix, record.PrefixSuccessor(bytes.Clone(prefix)))
	}
}

func (m *model) set(t *rapid.T, key []byte) {
	value := rapid.SliceOfN(rapid.Byte(), 0, 20).Draw(t, "value")
	if err := m.overlay.Set(key, value); err != nil {
		t.Fatal(err)
	}
	_ = m.twin.Set(key, value)
}

func (m *model) compareRows(t *rapid.T) {
	key := m.rowKey(t)
	got, found, err := m.overlay.Get(key)
	want, exists, _ := m.twin.Get(key)
	if err != nil || found != exists || !bytes.Equal(got, want) {
		t.Fatalf("Get(%x) = %x, %v, %v; want %x, %v", key, got, found, err, want, exists)
	}
	m.compareMany(t)
	from, to := m.bounds(t)
	m.compareFirst(t, from, to)
}

func (m *model) compareFirst(t *rapid.T, from, to []byte) {
	k, v, found, err := m.overlay.First(from, to)
	wantK, wantV, exists, _ := m.twin.First(from, to)
	if err != nil || found != exists || !bytes.Equal(k, wantK) || !bytes.Equal(v, wantV) {
		t.Fatalf("First(%x, %x) = %x, %x, %v, %v; want %x, %x, %v", from, to, k, v, found, err, wantK, wantV, exists)
	}
}

func (m *model) compareMany(t *rapid.T) {
	var keys [][]byte
	for range rapid.IntRange(0, 12).Draw(t, "keys") {
		keys = append(keys, m.rowKey(t))
	}
	slices.SortFunc(keys, bytes.Compare)
	rows := func(kv state.KV) []string {
		all := make([]string, len(keys))
		if err := kv.GetAll(keys, func(i int, value []byte, found bool) error {
			all[i] += fmt.Sprintf("%x=%x %v", keys[i], value, found)
			return nil
		}); err != nil {
			t.Fatal(err)
		}
		return all
	}
	if got, want := rows(m.overlay), rows(m.twin); !slices.Equal(got, want) {
		t.Fatalf("GetAll\n got %q\nwant %q", got, want)
	}
}

func (m *model) compareScan(t *rapid.T, from, to []byte, reverse bool) {
	rows := func(r state.Reader) (all []string) {
		it, err := r.Scan(from, to, reverse)
		if err != nil {
			t.Fatal(err)
		}
		for it.Next() {
			all = append(all, fmt.Sprintf("%x=%x", it.Key(), it.Value()))
		}
		if it.Next() {
			t.Fatal("Next found a row after the end")
		}
		if err := it.Close(); err != nil {
			t.Fatal(err)
		}
		return all
	}
	got, want := fmt.Sprint(rows(m.overlay)), fmt.Sprint(rows(m.twin))
	if got != want {
		t.Fatalf("Scan(%x, %x, %v)\n got %s\nwant %s", from, to, reverse, got, want)
	}
}

// Whatever is written, read or removed in whatever order, an overlay over cache and Pebble answers like one sorted
// map; the cache holds nothing that is not the newest version (I3); and a publication has its own rows, however old it is.
func TestOverlay_AnswersLikeTheTwin(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		m := newModel(t)
		defer m.close(rt)
		for range rapid.IntRange(1, 6).Draw(rt, "batches") {
			m.begin()
			for range rapid.IntRange(0, 30).Draw(rt, "steps") {
				m.step(rt)
			}
			m.commit(rt)
			m.checkCache(rt)
			m.checkShared(rt)
			m.checkWindows(rt)
		}
	})
}

func (m *model) checkCache(t *rapid.T) {
	for _, name := range []string{"a", "a\x00", "b", "b/c", "d"} {
		prefix := record.AppendVersionPrefix(nil, record.Key{Shard: 1, Tenant: 1, Kind: record.KindConfig, Name: name})
		h := m.cache.get(prefix)
		if h == nil {
			continue
		}
		key, value, found, _ := m.twin.First(prefix, record.PrefixSuccessor(bytes.Clone(prefix)))
		if !found || !bytes.Equal(h.key, key) || !bytes.Equal(h.value, value) {
			t.Fatalf("the cache says %x=%x for %q; the newest is %x=%x (%v)", h.key, h.value, name, key, value, found)
		}
	}
	kept := maps.Clone(m.fixed.fixed.rows)
	maps.Copy(kept, m.fixed.carried.rows)
	for key, value := range kept {
		if want, found, _ := m.twin.Get([]byte(key)); found != (value != nil) || !bytes.Equal(value, want) {
			t.Fatalf("the kept row %x is %x; want %x (%v)", key, value, want, found)
		}
	}
}

func (m *model) checkWindows(t *rapid.T) {
	for window, rows := range m.fixed.windows.rows {
		it, err := m.twin.Scan([]byte(window), record.PrefixSuccessor([]byte(window)), false)
		if err != nil {
			t.Fatal(err)
		}
		n := 0
		for ; it.Next(); n++ {
			if value := rows[string(it.Key())]; value == nil || !bytes.Equal(value, it.Value()) {
				t.Fatalf("the kept row %x is %x (%v); want %x", it.Key(), value, value != nil, it.Value())
			}
		}
		if len(rows) != n {
			t.Fatalf("the kept window %x has %d rows; want %d", window, len(rows), n)
		}
	}
}

func (m *model) checkShared(t *rapid.T) {
	for key := range m.fixed.shared.rows {
		row, ok := m.fixed.shared.newest([]byte(key))
		if want, found, _ := m.twin.Get([]byte(key)); !ok || found != (row != nil) || !bytes.Equal(row, want) {
			t.Fatalf("the shared row %x is %x; want %x (%v)", key, row, want, found)
		}
		for i, snapshot := range m.earlier {
			r := &reader{rows: snapshot, shared: &m.fixed.shared, sequence: uint64(i + 1)}
			got, found, err := r.Get([]byte(key))
			wanted := &reader{rows: snapshot}
			want, exists, _ := wanted.Get([]byte(key))
			if err != nil || found != exists || !bytes.Equal(got, want) {
				t.Fatalf("publication %d of %d: the row %x is %x (%v, %v); want %x (%v)", i+1, m.sequence, key, got, found, err, want, exists)
			}
			if err := errors.Join(r.close(), wanted.close()); err != nil {
				t.Fatal(err)
			}
		}
	}
}

// A scan may be deleted from while it runs, as range deletes and purges do.
func TestOverlay_DeleteWhileScanning(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		m := newModel(t)
		defer m.close(rt)
		for range 2 { // once in the base, once in the overlay
			m.begin()
			for range rapid.IntRange(0, 10).Draw(rt, "rows") {
				m.revision++
				m.set(rt, record.AppendVersionKey(nil, modelKey(rt), m.revision))
			}
			m.commit(rt)
		}
		m.begin()
		m.revision++
		m.set(rt, record.AppendVersionKey(nil, modelKey(rt), m.revision))
		it, err := m.overlay.Scan([]byte{record.SpaceVersions}, []byte{record.SpaceVersions + 1}, false)
		if err != nil {
			rt.Fatal(err)
		}
		removed := 0
		for it.Next() {
			removed++
			if err := m.overlay.Delete(it.Key()); err != nil {
				rt.Fatal(err)
			}
		}
		if err := it.Close(); err != nil || removed != m.twin.Len() {
			rt.Fatalf("a scan saw %d of %d rows (%v)", removed, m.twin.Len(), err)
		}
		if _, _, found, _ := m.overlay.First([]byte{record.SpaceVersions}, nil); found {
			rt.Fatal("a row is left")
		}
		m.commit(rt)
	})
}

// A record that has nothing in a part of its versions has others.
func TestOverlay_NothingInAPartOfTheVersions(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		m := newModel(t)
		defer m.close(rt)
		k := record.Key{Shard: 1, Tenant: 1, Kind: record.KindConfig, Name: "a"}
		prefix := record.AppendVersionPrefix(nil, k)
		m.begin()
		m.revision = 5
		m.set(rt, record.AppendVersionKey(nil, k, 5))
		m.commit(rt)
		m.cache.remove(prefix)
		m.begin()
		for _, to := range [][]byte{record.AppendVersionKey(nil, k, 9), record.PrefixSuccessor(bytes.Clone(prefix))} {
			_, _, found, err := m.overlay.First(prefix, to)
			if _, _, want, _ := m.twin.First(prefix, to); err != nil || found != want {
				rt.Fatalf("First to %x: %v, %v; want %v", to, found, err, want)
			}
		}
		m.commit(rt)
	})
}
