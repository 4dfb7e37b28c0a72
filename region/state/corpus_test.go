package state_test

import (
	"encoding/hex"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"supercluster/region/record"
	"supercluster/region/state"
)

var update = flag.Bool("update", false, "record what the corpus lacks; to record anew before the first release, remove the file first")

// The corpus holds recorded entries, each with the hash of the state it leads to. Every version must come to the same
// hashes: a replica that does not has diverged from those that applied the entry before. A line is `entry hash`, in hex.
func TestCorpus(t *testing.T) {
	recordings := map[string]func(*testing.T) []record.Entry{
		"level1-scripts.txt": scriptEntries,
		"level1-random.txt":  randomEntries,

		"level2-home.txt":     homeEntries,
		"level2-receiver.txt": receiverEntries,

		"level3-receiver.txt": receiverEntries,
		"level3-withdraw.txt": withdrawEntries,

		"level4-documents.txt": documentEntries,
	}
	if *update {
		for name, make := range recordings {
			path := filepath.Join("testdata", "corpus", name)
			if _, err := os.Stat(path); err != nil { // an old recording never changes
				recordCorpus(t, path, make(t))
			}
		}
	}
	files, err := filepath.Glob("testdata/corpus/*.txt")
	if err != nil || len(files) < len(recordings) {
		t.Fatalf("%d recordings, %v", len(files), err)
	}
	for _, file := range files {
		t.Run(filepath.Base(file), func(t *testing.T) { replay(t, file) })
	}
}

func replay(t *testing.T, file string) {
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	w, number := newWorld(t), 0
	for line := range strings.Lines(string(text)) {
		number++
		entry, want, _ := strings.Cut(strings.TrimSpace(line), " ")
		b, err := hex.DecodeString(entry)
		if err != nil {
			t.Fatalf("line %d: %v", number, err)
		}
		e, err := record.DecodeEntry(b)
		if err != nil {
			t.Fatalf("line %d: %v", number, err)
		}
		w.index++
		if _, err := state.Apply(w.kv, w.index, e); err != nil {
			t.Fatalf("line %d: %v", number, err)
		}
		if got := fmt.Sprintf("%x", w.hash(t)); got != want {
			t.Fatalf("line %d leads to hash %s; it was recorded with %s", number, got, want)
		}
	}
	if number == 0 {
		t.Error("the recording is empty")
	}
}

func recordCorpus(t *testing.T, path string, entries []record.Entry) {
	t.Helper()
	w := newWorld(t)
	var text strings.Builder
	for i := range entries {
		b, err := record.AppendEntry(nil, &entries[i])
		if err != nil {
			t.Fatal(err)
		}
		w.apply(t, &entries[i])
		fmt.Fprintf(&text, "%x %x\n", b, w.hash(t))
	}
	if err := os.WriteFile(path, []byte(text.String()), 0o644); err != nil {
		t.Fatal(err)
	}
}

// scriptEntries is one entry of each operation of the scripts, all on one region.
func scriptEntries(t *testing.T) (entries []record.Entry) {
	files, err := filepath.Glob("testdata/scripts/*.txt")
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for line := range strings.Lines(string(text)) {
			op, err := parseOp(strings.TrimSpace(line))
			if err != nil || op.Txn != nil && len(op.Txn.Then)+len(op.Txn.Else) == 0 {
				continue // output, not an operation
			}
			n := uint64(len(entries))
			entries = append(entries, record.Entry{
				Level: 1, Replica: n%3 + 1, Boot: n/100 + 1, Sequence: n, Time: int64(n) * 1e9, Ops: []record.Op{op},
			})
		}
	}
	return entries
}

// randomEntries is groups of random transactions, request ids, compactions and purges.
func randomEntries(t *testing.T) []record.Entry {
	entries := []record.Entry{{Level: 1, Ops: []record.Op{mustParse(t, "identity 7 dc1")}}}
	txns := rapid.Custom(func(t *rapid.T) *record.Txn { return drawTxn(t) })
	revision := 1
	for i := range 150 {
		e := record.Entry{Level: 1, Replica: uint64(i%3) + 1, Boot: 1, Sequence: uint64(i/6 + i%2), Time: int64(i) * 1e9}
		for j := range i%5 + 1 {
			op := record.Op{Type: record.OpTxn, Txn: txns.Example(i*10 + j)}
			switch {
			case (i+j)%7 == 0:
				op.RequestID, op.Seen = fmt.Sprintf("r%d", i%4), uint64(revision)
			case (i+j)%17 == 0:
				op = mustParse(t, fmt.Sprintf("compact 1 %d", revision/2+1))
			case (i+j)%13 == 0:
				op = mustParse(t, "purge 1 7")
			}
			e.Ops = append(e.Ops, op)
			revision++
		}
		entries = append(entries, e)
	}
	return entries
}
