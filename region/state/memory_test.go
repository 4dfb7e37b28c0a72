package state_test

import (
	"bytes"
	"fmt"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"supercluster/region/record"
	"supercluster/region/state"
)

// collect reads keys with an iterator, and deletes one of them on the way if asked to.
func collect(t *rapid.T, m *state.Memory, from, to []byte, reverse bool) (keys []string) {
	it, err := m.Scan(from, to, reverse)
	if err != nil {
		t.Fatal(err)
	}
	for it.Next() {
		keys = append(keys, string(it.Key()))
	}
	if it.Next() {
		t.Fatal("an iterator went on after its end")
	}
	if err := it.Close(); err != nil {
		t.Fatal(err)
	}
	return keys
}

func TestMemory_AgainstASortedList(t *testing.T) {
	gen := rapid.Custom(func(t *rapid.T) string {
		return string(rapid.SliceOfN(rapid.SampledFrom([]byte{0, 1, 255}), 1, 3).Draw(t, "key"))
	})
	rapid.Check(t, func(t *rapid.T) {
		m, want := state.NewMemory(), map[string]string{}
		for i := range rapid.IntRange(0, 20).Draw(t, "n") {
			k := gen.Draw(t, "key")
			if rapid.IntRange(0, 3).Draw(t, "delete") == 0 {
				delete(want, k)
				_ = m.Delete([]byte(k))
				continue
			}
			want[k] = fmt.Sprint(i)
			_ = m.Set([]byte(k), []byte(want[k]))
		}
		from, to := []byte(gen.Draw(t, "from")), []byte(gen.Draw(t, "to"))
		if rapid.Bool().Draw(t, "no end") {
			to = nil
		}
		var keys []string
		for k := range want {
			if k >= string(from) && (to == nil || k < string(to)) {
				keys = append(keys, k)
			}
		}
		slices.Sort(keys)
		if got := collect(t, m, from, to, false); !slices.Equal(got, keys) {
			t.Fatalf("[%x, %x): %x, want %x", from, to, got, keys)
		}
		key, value, found, _ := m.First(from, to)
		if found != (len(keys) > 0) || found && (string(key) != keys[0] || string(value) != want[keys[0]]) {
			t.Fatalf("first of [%x, %x) is %x=%s, %v; want %x", from, to, key, value, found, keys)
		}
		slices.Reverse(keys)
		if got := collect(t, m, from, to, true); !slices.Equal(got, keys) {
			t.Fatalf("[%x, %x) backwards: %x, want %x", from, to, got, keys)
		}
		for k, v := range want {
			if got, ok, _ := m.Get([]byte(k)); !ok || string(got) != v {
				t.Fatalf("%x = %s %v, want %s", k, got, ok, v)
			}
		}
		if m.Len() != len(want) {
			t.Fatalf("%d rows, not %d", m.Len(), len(want))
		}
	})
}

func TestMemory_SnapshotsStay(t *testing.T) {
	m := state.NewMemory()
	key := []byte("k")
	_ = m.Set(key, []byte("old"))
	snapshot := m.Snapshot()
	_ = m.Set(key, []byte("new"))
	key[0] = 'x' // Set copied it
	if v, found, _ := snapshot.Get([]byte("k")); !found || !bytes.Equal(v, []byte("old")) {
		t.Errorf("the snapshot has %q, %v", v, found)
	}
	if v, found, _ := m.Get([]byte("k")); !found || !bytes.Equal(v, []byte("new")) {
		t.Errorf("the memory has %q, %v", v, found)
	}
}

// A record with a long history is passed over by a seek, in both directions of time.
func TestRead_PassesLongHistories(t *testing.T) {
	w := newRegion(t)
	w.line(t, "put first 1")
	for i := range 200 {
		w.line(t, fmt.Sprintf("put busy %d", i))
	}
	w.line(t, "put last 1")
	for _, name := range []string{"put config:c 1", "put instance:i 1", "put node:n 1"} {
		w.line(t, name)
	}
	rng := record.Range{Shard: 1, Tenant: 1, Namespace: 1, Kind: record.KindService}
	for revision, want := range map[uint64]string{0: "199", 3: "0", 100: "97", 202: "199"} {
		b := &brittle{KV: w.kv, t: nil}
		res, err := state.ReadRange(b, rng, revision)
		if err != nil {
			t.Fatal(err)
		}
		if got := string(res.Records[0].Value); res.Records[0].Key.Name != "busy" || got != want {
			t.Errorf("at revision %d busy is %q, not %q", revision, got, want)
		}
		if n := uint64(2); revision != 0 && res.Count != n || revision == 0 && res.Count != 3 {
			t.Errorf("at revision %d there are %d", revision, res.Count)
		}
	}
}

func TestLoad_OnlyTheKindsInKeyOrder(t *testing.T) {
	w := newRegion(t)
	w.ops(t, mustParse(t, "ns-create default prod"), mustParse(t, "tenant-create acme"))
	for _, line := range []string{
		"put service:s 1", "put instance:i 1", "put config:c 1", "put service@1.2:s 1", "put config@1.2:c 1",
		"put instance@2.3:i 1", "put node:n1 x", "put instance:gone 1", "del instance:gone",
	} {
		if r := w.line(t, line); r.Status != record.StatusOK {
			t.Fatal(line, formatResult(r))
		}
	}
	for _, tt := range []struct {
		kinds []record.Kind
		want  string
	}{
		{[]record.Kind{record.KindInstance, record.KindService}, "1.1 s, 1.1 i, 1.2 s, 2.3 i, "},
		{[]record.Kind{record.KindConfig}, "1.1 c, 1.2 c, "},
		{[]record.Kind{record.KindNode, record.KindTenant}, "0.0 acme, 0.0 default, 0.0 n1, "},
		{[]record.Kind{999}, ""},
		{nil, ""},
	} {
		got := ""
		if err := state.Load(w.kv, tt.kinds, func(r record.Record) error {
			got += fmt.Sprintf("%d.%d %s, ", r.Key.Tenant, r.Key.Namespace, r.Key.Name)
			return nil
		}); err != nil || got != tt.want {
			t.Errorf("kinds %v: %s, %v; want %s", tt.kinds, got, err, tt.want)
		}
	}
}
