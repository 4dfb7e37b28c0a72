package record_test

import (
	"bytes"
	"encoding/hex"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"supercluster/region/record"
)

// addGolden seeds a fuzzer with the golden bytes.
func addGolden(f *testing.F, file string) {
	f.Helper()
	text, err := os.ReadFile(filepath.Join("testdata", file))
	if err != nil {
		f.Fatal(err)
	}
	for line := range strings.Lines(string(text)) {
		_, digits, _ := strings.Cut(strings.TrimSpace(line), " ")
		b, err := hex.DecodeString(digits)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b)
	}
}

// What decodes must encode, and decode to the same again.
func FuzzDecodeEntry(f *testing.F) {
	addGolden(f, "entries.golden")
	addGolden(f, "feed_entries.golden")
	f.Fuzz(func(t *testing.T, b []byte) {
		if len(b) >= 4 {
			b = reseal(b) // else no input gets past the checksum
		}
		e, err := record.DecodeEntry(b)
		if err != nil {
			return
		}
		again, err := record.AppendEntry(nil, e)
		if err != nil {
			if len(e.Ops) <= record.MaxOps {
				for _, op := range e.Ops {
					if op.Txn != nil && max(len(op.Txn.Compare), len(op.Txn.Then), len(op.Txn.Else)) > record.MaxOps {
						return
					}
				}
				t.Fatal(err)
			}
			return
		}
		e2, err := record.DecodeEntry(again)
		if err != nil || !reflect.DeepEqual(e2.Ops, e.Ops) {
			t.Fatalf("%+v became %+v: %v", e, e2, err)
		}
	})
}

func FuzzDecodeResults(f *testing.F) {
	addGolden(f, "results.golden")
	f.Fuzz(func(t *testing.T, b []byte) {
		results, err := record.DecodeResults(b)
		if err != nil {
			return
		}
		again, err := record.DecodeResults(record.AppendResults(nil, results))
		if err != nil || !reflect.DeepEqual(again, results) {
			t.Fatalf("%+v became %+v: %v", results, again, err)
		}
	})
}

func FuzzDecodeRows(f *testing.F) {
	addGolden(f, "rows.golden")
	addGolden(f, "feed_rows.golden")
	f.Fuzz(func(t *testing.T, b []byte) {
		var r, again record.Record
		if ordinal, err := record.DecodeVersion(b, &r); err == nil {
			if got, err := record.DecodeVersion(record.AppendVersion(nil, &r, ordinal), &again); err != nil || got != ordinal || !reflect.DeepEqual(r, again) {
				t.Fatalf("version %+v became %+v: %v", r, again, err)
			}
			if _, err := record.DecodeVersionHead(b); err != nil {
				t.Fatalf("the row is read and its head is not: %v", err)
			}
		}
		if tr, err := record.DecodeTransaction(b); err == nil {
			if got, err := record.DecodeTransaction(record.AppendTransaction(nil, &tr)); err != nil || tr.Home != [16]byte{} && !reflect.DeepEqual(got, tr) {
				t.Fatalf("transaction %+v became %+v: %v", tr, got, err)
			}
		}
		_, _ = record.DecodeVersionHead(b)
		_, _ = record.DecodeHead(b)
		_, _ = record.DecodeIdentity(b)
		_, _ = record.DecodeCounters(b)
		_, _ = record.DecodeGroup(b)
		_, _ = record.DecodeRequest(b)
		_, _ = record.DecodeRequestHead(b)
		_, _ = record.DecodeRequestAge(b)
		_, _, _ = record.DecodeRecord(b)
		decodeFeedRows(t, b)
	})
}

func FuzzDecodeKeys(f *testing.F) {
	addGolden(f, "keys.golden")
	addGolden(f, "feed_keys.golden")
	f.Fuzz(func(t *testing.T, b []byte) {
		if k, revision, err := record.DecodeVersionKey(b); err == nil {
			if got := record.AppendVersionKey(nil, k, revision); !bytes.Equal(got, b) {
				t.Fatalf("%x became %x", b, got)
			}
		}
		if n := record.Split(b); n < 0 || n > len(b) {
			t.Fatalf("%x is split at %d", b, n)
		}
		_, _, _ = record.DecodeTransactionKey(b)
		_, _ = record.DecodeOrphanKey(b)
		_, _, _ = record.DecodeCountersKey(b)
		_, _, _ = record.DecodeAlarmKey(b)
		_, _, _ = record.DecodeDeletedKey(b)
		_, _ = record.DecodeRegionKey(b)
		_, _, _ = record.DecodeFederatedKey(b)
		_, _, _ = record.DecodeFeedStateKey(b)
		_, _ = record.DecodeFeedLogKey(b)
	})
}

func FuzzReadSnapshot(f *testing.F) {
	addGolden(f, "snapshots.golden")
	f.Fuzz(func(t *testing.T, b []byte) {
		_ = record.ReadSnapshot(bytes.NewReader(b), ignore)
	})
}
