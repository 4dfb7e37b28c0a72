package store

import (
	"bytes"
	"fmt"
	"testing"

	"github.com/cockroachdb/pebble/v2"

	"supercluster/region/record"
)

// ahead gives a store with the given records, and an overlay over it to which others were foretold.
func ahead(t *testing.T, there, foretold []string) (o *overlay, searches func() int) {
	t.Helper()
	m := newModel(t)
	m.begin()
	for _, name := range there {
		if err := m.overlay.Set(record.AppendVersionKey(nil, foreseen(name), 1), []byte(name)); err != nil {
			t.Fatal(err)
		}
	}
	batch := m.db.NewBatch()
	if err := m.overlay.fill(batch); err != nil {
		t.Fatal(err)
	}
	if err := batch.Commit(pebble.NoSync); err != nil {
		t.Fatal(err)
	}
	m.begin()
	t.Cleanup(func() {
		if err := m.base.close(); err != nil {
			t.Error(err)
		}
	})
	var prefixes [][]byte
	for _, name := range foretold {
		prefixes = append(prefixes, record.AppendVersionPrefix(nil, foreseen(name)))
	}
	if err := m.overlay.Foresee(prefixes); err != nil {
		t.Fatal(err)
	}
	return m.overlay, func() int { return m.base.iter.Stats().ForwardSeekCount[pebble.InterfaceCall] }
}

func foreseen(name string) record.Key {
	return record.Key{Shard: 1, Tenant: 1, Kind: record.KindConfig, Name: name}
}

// look asks for records and gives which are there.
func look(t *testing.T, o *overlay, names []string) (found []string) {
	t.Helper()
	for _, name := range names {
		prefix := record.AppendVersionPrefix(nil, foreseen(name))
		_, value, ok, err := o.First(prefix, record.PrefixSuccessor(bytes.Clone(prefix)))
		if err != nil || ok && string(value) != name {
			t.Fatalf("%s: %q, %v", name, value, err)
		}
		if ok {
			found = append(found, name)
		}
	}
	return found
}

func names(format string, n int) (all []string) {
	for i := range n {
		all = append(all, fmt.Sprintf(format, i))
	}
	return all
}

func TestForesee_OneSearchAnswersForAllThatAreMissingSideBySide(t *testing.T) {
	wanted := names("new/%03d", 100)
	o, searches := ahead(t, []string{"a", "new", "z"}, wanted)
	if found := look(t, o, wanted); len(found) != 0 || searches() != 1 {
		t.Errorf("%d searches found %q", searches(), found)
	}
}

func TestForesee_WhatIsThereIsFoundOnce(t *testing.T) {
	wanted := []string{"new/1", "new/2", "old/1", "old/2"}
	o, searches := ahead(t, []string{"old/1", "old/2"}, wanted)
	before := searches()
	if found := look(t, o, wanted); len(found) != 2 || searches() != before {
		t.Errorf("%d and %d searches found %q", before, searches()-before, found)
	}
}

func TestForesee_NothingIsLookedForAheadWhereRecordsLieFarFromEachOther(t *testing.T) {
	const n = 50
	_, searches := ahead(t, names("%03d/here", n), names("%03d/new", n))
	if searches() != lonely {
		t.Errorf("%d searches for what lies between others, want %d", searches(), lonely)
	}
}

func TestForesee_OutOfOrderIsNotMissed(t *testing.T) {
	wanted := []string{"m", "b", "a", "z"}
	o, _ := ahead(t, wanted, []string{"n", "m", "b", "a", "z"})
	if found := look(t, o, wanted); len(found) != len(wanted) {
		t.Errorf("found %q of %q", found, wanted)
	}
}
