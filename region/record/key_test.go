package record_test

import (
	"bytes"
	"cmp"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"supercluster/region/record"
)

func compareKeys(a, b record.Key) int {
	return cmp.Or(cmp.Compare(a.Shard, b.Shard), cmp.Compare(a.Tenant, b.Tenant), cmp.Compare(a.Namespace, b.Namespace),
		cmp.Compare(a.Kind, b.Kind), cmp.Compare(a.Scope, b.Scope), strings.Compare(a.Name, b.Name))
}

func TestVersionKey_KeepsOrderAndRoundTrips(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		a, b := genKey().Draw(t, "a"), genKey().Draw(t, "b")
		if rapid.Bool().Draw(t, "same but the name") {
			name := b.Name
			b = a
			b.Name = name
		}
		ra, rb := rapid.Uint64().Draw(t, "ra"), rapid.Uint64().Draw(t, "rb")
		ka, kb := record.AppendVersionKey(nil, a, ra), record.AppendVersionKey(nil, b, rb)
		want := cmp.Or(compareKeys(a, b), cmp.Compare(rb, ra)) // newer versions first
		if got := bytes.Compare(ka, kb); got != want {
			t.Fatalf("%x and %x compare as %d, want %d", ka, kb, got, want)
		}
		k, revision, err := record.DecodeVersionKey(ka)
		if err != nil || k != a || revision != ra {
			t.Fatalf("%+v at %d became %+v at %d: %v", a, ra, k, revision, err)
		}
		if n := record.Split(ka); n != len(ka)-8 || !bytes.Equal(ka[:n], record.AppendVersionPrefix(nil, a)) {
			t.Fatalf("%x is split at %d", ka, n)
		}
		if p := ka[:len(ka)-8]; record.Split(p) != len(p) {
			t.Fatalf("the prefix %x has a suffix", p)
		}
	})
}

// Pebble's contract: the order of keys is the order of their prefixes, whatever bytes it asks about.
func TestSplit_IsTotalAndKeepsOrder(t *testing.T) {
	gen := rapid.Custom(func(t *rapid.T) []byte {
		k := record.AppendVersionKey(nil, record.Key{Name: genName().Draw(t, "name")}, rapid.Uint64().Draw(t, "revision"))
		k = k[:rapid.IntRange(0, len(k)).Draw(t, "cut")]
		return append(k, rapid.SliceOfN(rapid.SampledFrom([]byte{0, 1, 255}), 0, 3).Draw(t, "tail")...)
	})
	rapid.Check(t, func(t *rapid.T) {
		a, b := gen.Draw(t, "a"), gen.Draw(t, "b")
		pa, pb := a[:record.Split(a)], b[:record.Split(b)]
		if bytes.Compare(a, b) <= 0 && bytes.Compare(pa, pb) > 0 {
			t.Fatalf("%x <= %x but their prefixes are not", a, b)
		}
		if bytes.Compare(pa, pb) < 0 && bytes.Compare(a, b) >= 0 {
			t.Fatalf("prefixes of %x and %x ascend but they do not", a, b)
		}
		if record.Split(pa) != len(pa) {
			t.Fatalf("the prefix of %x splits again", a)
		}
	})
}

func TestRangeBounds_HoldExactlyTheRange(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		r := record.Range{Shard: 1, Tenant: 1, Namespace: 2, Kind: 3, From: genName().Draw(t, "from"), To: genName().Draw(t, "to")}
		k := record.Key{Shard: 1, Tenant: 1, Namespace: 2, Kind: 3, Name: genName().Draw(t, "name")}
		if rapid.Bool().Draw(t, "scope end") {
			r.Scope, k.Scope = ^uint32(0), ^uint32(0)
		}
		other := k
		other.Kind++
		from, to := record.RangeBounds(r)
		holds := func(k record.Key) bool {
			row := record.AppendVersionKey(nil, k, rapid.Uint64().Draw(t, "revision"))
			return bytes.Compare(from, row) <= 0 && bytes.Compare(row, to) < 0
		}
		if got, want := holds(k), k.Name >= r.From && (r.To == "" || k.Name < r.To); got != want {
			t.Fatalf("range [%q, %q) holds %q: %v", r.From, r.To, k.Name, got)
		}
		if holds(other) {
			t.Fatalf("range of kind 3 holds kind %d", other.Kind)
		}
	})
}

func TestPrefixEnd(t *testing.T) {
	for _, tt := range []struct{ prefix, want string }{
		{"web/", "web0"}, {"", ""}, {"\xff\xff", ""}, {"a\xff", "b"},
	} {
		if got := record.PrefixEnd(tt.prefix); got != tt.want {
			t.Errorf("PrefixEnd(%q) = %q, want %q", tt.prefix, got, tt.want)
		}
	}
}
