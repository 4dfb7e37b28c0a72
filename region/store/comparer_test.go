package store

import (
	"bytes"
	"slices"
	"testing"

	"github.com/cockroachdb/pebble/v2"
	"pgregory.net/rapid"

	"supercluster/region/record"
)

// anyKey draws keys of every space, names with NUL, bare prefixes, cut keys, and bytes that are no key at all.
func anyKey() *rapid.Generator[[]byte] {
	return rapid.Custom(func(t *rapid.T) []byte {
		k := record.Key{
			Shard: rapid.Uint32Range(0, 1).Draw(t, "shard"), Tenant: rapid.Uint32Range(0, 2).Draw(t, "tenant"),
			Kind: record.KindConfig, Scope: rapid.Uint32Range(0, 1).Draw(t, "scope"),
			Name: string(rapid.SliceOfN(rapid.SampledFrom([]byte{0, 1, 'a', 0xff}), 0, 4).Draw(t, "name")),
		}
		var key []byte
		switch rapid.IntRange(0, 3).Draw(t, "form") {
		case 0:
			key = record.AppendVersionKey(nil, k, rapid.Uint64Range(0, 300).Draw(t, "revision"))
		case 1:
			key = record.AppendVersionPrefix(nil, k)
		case 2:
			key = record.AppendTransactionKey(nil, k.Shard, rapid.Uint64Range(0, 300).Draw(t, "revision"))
		default:
			key = append([]byte{record.SpaceVersions}, rapid.SliceOfN(rapid.SampledFrom([]byte{0, 1, 2, 0xff}), 0, 40).Draw(t, "bytes")...)
		}
		if rapid.IntRange(0, 4).Draw(t, "cut") == 0 {
			key = key[:rapid.IntRange(1, len(key)).Draw(t, "length")]
		}
		return key
	})
}

// Pebble's rules for Split, as its documentation of the type states them, and byte order.
func TestComparer_SplitKeepsPebblesRules(t *testing.T) {
	c := newComparer()
	rapid.Check(t, func(t *rapid.T) {
		a, b := anyKey().Draw(t, "a"), anyKey().Draw(t, "b")
		pa, pb := a[:c.Split(a)], b[:c.Split(b)]
		if c.Split(pa) != len(pa) {
			t.Fatalf("the prefix %x of %x has a suffix", pa, a)
		}
		if len(pa) < len(a) && c.Compare(pa, a) >= 0 {
			t.Fatalf("prefix %x does not sort before %x", pa, a)
		}
		ab, prefixes := c.Compare(a, b), c.Compare(pa, pb)
		if ab <= 0 && prefixes > 0 || prefixes < 0 && ab >= 0 {
			t.Fatalf("%x and %x compare %d, their prefixes %d", a, b, ab, prefixes)
		}
		if prefixes == 0 && ab != c.ComparePointSuffixes(a[len(pa):], b[len(pb):]) {
			t.Fatalf("%x and %x compare %d, their suffixes differently", a, b, ab)
		}
		if c.Equal(a, b) != (ab == 0) || ab != bytes.Compare(a, b) {
			t.Fatalf("%x and %x: not byte order", a, b)
		}
	})
}

func TestComparer_SeparatorSuccessorAbbreviated(t *testing.T) {
	c := newComparer()
	rapid.Check(t, func(t *rapid.T) {
		a, b := anyKey().Draw(t, "a"), anyKey().Draw(t, "b")
		if x, y := c.AbbreviatedKey(a), c.AbbreviatedKey(b); x < y && c.Compare(a, b) >= 0 || x > y && c.Compare(a, b) <= 0 {
			t.Fatalf("abbreviations of %x and %x are out of order", a, b)
		}
		if s := c.Successor(nil, a); c.Compare(a, s) > 0 {
			t.Fatalf("Successor(%x) = %x", a, s)
		}
		if c.Compare(a, b) >= 0 {
			return
		}
		if s := c.Separator([]byte("x"), a, b)[1:]; c.Compare(a, s) > 0 || c.Compare(s, b) >= 0 {
			t.Fatalf("Separator(%x, %x) = %x", a, b, s)
		}
	})
}

func TestComparer_ImmediateSuccessorIsTheNextPrefix(t *testing.T) {
	c := newComparer()
	rapid.Check(t, func(t *rapid.T) {
		a, b := anyKey().Draw(t, "a"), anyKey().Draw(t, "b")
		a = a[:c.Split(a)]
		next := c.ImmediateSuccessor([]byte("x"), a)[1:]
		if c.Split(next) != len(next) || c.Compare(a, next) >= 0 {
			t.Fatalf("ImmediateSuccessor(%x) = %x", a, next)
		}
		if b = b[:c.Split(b)]; c.Compare(a, b) < 0 && c.Compare(b, next) < 0 {
			t.Fatalf("prefix %x lies between %x and its successor %x", b, a, next)
		}
	})
}

func TestComparer_NewestVersionComesFirst(t *testing.T) {
	k := record.Key{Shard: 1, Tenant: 1, Namespace: 1, Kind: record.KindConfig, Name: "a\x00b"}
	keys := [][]byte{
		record.AppendVersionKey(nil, k, 9),
		record.AppendVersionKey(nil, k, 300),
		record.AppendVersionKey(nil, k, 2),
	}
	slices.SortFunc(keys, newComparer().Compare)
	for i, want := range []uint64{300, 9, 2} {
		if _, got, err := record.DecodeVersionKey(keys[i]); err != nil || got != want {
			t.Errorf("version %d is revision %d (%v), want %d", i, got, err, want)
		}
		if n := newComparer().Split(keys[i]); n != len(keys[i])-8 {
			t.Errorf("Split leaves a suffix of %d bytes, want 8", len(keys[i])-n)
		}
	}
}

// The name is on disk: it can not change without a migration.
func TestComparer_NameIsFixed(t *testing.T) {
	if got := newComparer().Name; got != "supercluster.v1" {
		t.Errorf("the comparer is named %q", got)
	}
	if c := newComparer(); c.EnsureDefaults() != c {
		t.Error("Pebble fills in a function that is missing")
	}
	var _ *pebble.Comparer = newComparer()
}
