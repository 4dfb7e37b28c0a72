package record_test

import (
	"bytes"
	"reflect"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"supercluster/internal/fault"
	"supercluster/region/record"
)

func equal[T any](t *rapid.T, what string, got, want T, err error) {
	t.Helper()
	if err != nil {
		t.Fatalf("%s: %v", what, err)
	}
	if !reflect.DeepEqual(got, want) {
		t.Fatalf("%s:\n got %+v\nwant %+v", what, got, want)
	}
}

func TestCodecs_DecodeGivesWhatWasEncoded(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		e := genEntry().Draw(t, "entry")
		b, err := record.AppendEntry(nil, &e)
		if err != nil {
			t.Fatal(err)
		}
		got, err := record.DecodeEntry(b)
		if err != nil {
			t.Fatal(err)
		}
		if got.Size() != len(b) {
			t.Fatalf("size %d of %d bytes", got.Size(), len(b))
		}
		again, err := record.AppendEntry(nil, got)
		equal(t, "entry bytes", again, b, err)
		equal(t, "entry ops", got.Ops, e.Ops, nil)
	})
	rapid.Check(t, func(t *rapid.T) {
		rec := genRecord().Draw(t, "record")
		got, rest, err := record.DecodeRecord(record.AppendRecord(nil, &rec))
		equal(t, "record", got, rec, err)
		equal(t, "rest", len(rest), 0, nil)

		ordinal := rapid.Uint64().Draw(t, "ordinal")
		row := record.AppendVersion(nil, &rec, ordinal)
		version := record.Record{Key: rec.Key, ModifyRevision: rec.ModifyRevision}
		at, err := record.DecodeVersion(row, &version)
		equal(t, "version row", version, rec, err)
		equal(t, "ordinal", at, ordinal, nil)
		head, err := record.DecodeVersionHead(row)
		equal(t, "head lease", head.Lease, rec.Lease, err)
		equal(t, "head ordinal", head.Ordinal, ordinal, err)
	})
	rapid.Check(t, func(t *rapid.T) {
		tr := genTransaction().Draw(t, "transaction")
		got, err := record.DecodeTransaction(record.AppendTransaction(nil, &tr))
		equal(t, "transaction row", got, tr, err)

		results := rapid.SliceOfN(genResult(), 0, 4).Draw(t, "results")
		decoded, err := record.DecodeResults(record.AppendResults(nil, results))
		equal(t, "results", decoded, results, err)
	})
}

// One decoder for many entries gives what one for each gives, whatever it kept, and leaves values and names alone.
func TestDecoder_EntryAfterEntry(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var d record.Decoder
		var actors, wanted []string
		for _, e := range rapid.SliceOfN(genEntry(), 1, 6).Draw(t, "entries") {
			b, err := record.AppendEntry(nil, &e)
			if err != nil {
				t.Fatal(err)
			}
			if rapid.Bool().Draw(t, "a torn one before") {
				if _, err := d.Decode(b[:len(b)-1]); err == nil {
					t.Fatal("a torn entry was decoded")
				}
			}
			got, err := d.Decode(b)
			if err != nil {
				t.Fatal(err)
			}
			again, err := record.AppendEntry(nil, got)
			equal(t, "entry bytes", again, b, err)
			for i := range got.Ops {
				if txn := got.Ops[i].Txn; txn != nil {
					actors, wanted = append(actors, txn.Writer.Actor), append(wanted, e.Ops[i].Txn.Writer.Actor)
				}
			}
		}
		equal(t, "actors", actors, wanted, nil)
	})
}

func TestCodecs_BookkeepingRows(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		u64 := func() uint64 { return rapid.Uint64().Draw(t, "n") }
		u32 := func() uint32 { return rapid.Uint32().Draw(t, "n") }
		head := record.Head{
			AppliedIndex: u64(), Level: u32(), Positions: record.Positions{System: u64(), Data: u64()},
			Compacted: record.Positions{System: u64(), Data: u64()}, Purged: record.Positions{System: u64(), Data: u64()},
			NextTenant: u32(), NextNamespace: u32(), Alarms: u64(),
			Clock:     record.Clock{Term: u64(), Owner: u64(), Sequence: u64(), Now: rapid.Int64().Draw(t, "now")},
			Proposers: []record.Proposer{{Replica: u64(), Boot: u64()}, {Replica: u64(), Boot: u64()}},
		}
		gotHead, err := record.DecodeHead(record.AppendHead(nil, &head))
		equal(t, "head", gotHead, head, err)

		id := record.Identity{RegionID: genID().Draw(t, "id"), Name: genName().Draw(t, "name")}
		gotID, err := record.DecodeIdentity(record.AppendIdentity(nil, &id))
		equal(t, "identity", gotID, id, err)

		n := record.Counters{Keys: u64(), Bytes: u64(), History: u64(), MaxKeys: u64(), MaxBytes: u64()}
		gotN, err := record.DecodeCounters(record.AppendCounters(nil, &n))
		equal(t, "counters", gotN, n, err)

		g := record.Group{Sequence: u64(), Before: record.Positions{System: u64(), Data: u64()}, Outcomes: genBytes().Draw(t, "outcomes")}
		gotG, err := record.DecodeGroup(record.AppendGroup(nil, &g))
		equal(t, "group", gotG, g, err)

		r := record.Request{Order: u64(), Revision: u64(), Outcome: rapid.Byte().Draw(t, "outcome")}
		gotR, err := record.DecodeRequest(record.AppendRequest(nil, &r))
		equal(t, "request", gotR, r, err)

		h := record.RequestHead{Next: u64(), Count: u64(), Horizon: u64()}
		gotH, err := record.DecodeRequestHead(record.AppendRequestHead(nil, &h))
		equal(t, "request head", gotH, h, err)

		a := record.RequestAge{Time: rapid.Int64().Draw(t, "time"), Data: u64(), ID: genName().Draw(t, "request id")}
		gotA, err := record.DecodeRequestAge(record.AppendRequestAge(nil, &a))
		equal(t, "request age", gotA, a, err)

		k := genKey().Draw(t, "key")
		revision := u64()
		tombstone, gotK, err := record.DecodeDeletedKey(record.AppendDeletedKey(nil, revision, k))
		equal(t, "deleted key", gotK, k, err)
		equal(t, "tombstone", tombstone, revision, nil)

		o := record.Orphan{Tenant: u32(), Namespace: u32(), Revision: u64()}
		gotO, err := record.DecodeOrphanKey(record.AppendOrphanKey(nil, o))
		equal(t, "orphan", gotO, o, err)

		kind, replica, err := record.DecodeAlarmKey(record.AppendAlarmKey(nil, record.AlarmNoSpace, revision))
		equal(t, "alarm", [2]uint64{uint64(kind), replica}, [2]uint64{1, revision}, err)
	})
}

func TestOutcome_PacksIntoOneByte(t *testing.T) {
	for status := record.StatusOK; status <= record.StatusFenced; status++ {
		for _, moved := range []bool{false, true} {
			for _, succeeded := range []bool{false, true} {
				s, m, ok := record.SplitOutcome(record.Outcome(status, moved, succeeded))
				if s != status || m != moved || ok != succeeded {
					t.Errorf("%d %v %v became %d %v %v", status, moved, succeeded, s, m, ok)
				}
			}
		}
	}
}

func oneOp(op record.Op) *record.Entry { return &record.Entry{Level: 1, Ops: []record.Op{op}} }

func TestAppendEntry_RefusesWhatNobodyWouldRead(t *testing.T) {
	put := func(op record.TxnOp) record.Op {
		return record.Op{Type: record.OpTxn, Txn: &record.Txn{Shard: 1, Then: []record.TxnOp{op}}}
	}
	tests := []struct {
		name  string
		entry *record.Entry
		kind  fault.Kind
		text  string
	}{
		{"too many operations", &record.Entry{Ops: make([]record.Op, record.MaxOps+1)}, fault.TooLarge, "the limit is 1024"},
		{"too many bytes", oneOp(put(record.TxnOp{Type: record.TxnPut, Value: make([]byte, record.MaxEntryBytes)})), fault.TooLarge, "the limit is 1572864"},
		{"too long a list", oneOp(record.Op{Type: record.OpTxn, Txn: &record.Txn{Then: make([]record.TxnOp, record.MaxOps+1)}}), fault.TooLarge, "over 1024"},
		{"no body", oneOp(record.Op{Type: record.OpTxn}), fault.Invalid, "no body"},
		{"body of another type", oneOp(record.Op{Type: record.OpClaim, Tick: &record.Tick{}}), fault.Invalid, "no body"},
		{"unknown type", oneOp(record.Op{Type: 99}), fault.Invalid, "type 99"},
		{"unknown operation in a transaction", oneOp(put(record.TxnOp{Type: 9})), fault.Invalid, "type 9"},
		{"negative limit", oneOp(put(record.TxnOp{Type: record.TxnRange, Range: record.Range{Limit: -1}})), fault.Invalid, "limit"},
		{"unknown alarm", oneOp(record.Op{Type: record.OpAlarm, Alarm: &record.Alarm{Kind: 7}}), fault.Invalid, "alarm 7"},
		{"unknown compare", oneOp(record.Op{Type: record.OpTxn, Txn: &record.Txn{Compare: []record.Compare{{Target: 6, Operator: 1}}}}), fault.Invalid, "target 6"},
		{"long request id", oneOp(record.Op{Type: record.OpClaim, Claim: &record.Claim{}, RequestID: strings.Repeat("x", 65)}), fault.Invalid, "limit is 64"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got, err := record.AppendEntry([]byte("before"), tt.entry)
			if !fault.Is(err, tt.kind) || !strings.Contains(err.Error(), tt.text) {
				t.Errorf("error %v; want %v with %q", err, tt.kind, tt.text)
			}
			if string(got) != "before" {
				t.Errorf("dst became %q", got)
			}
		})
	}
}

// reseal sets the checksum of an entry whose bytes were changed on purpose.
func reseal(b []byte) []byte {
	body := b[:len(b)-4]
	sum := record.Checksum(body)
	return append(bytes.Clone(body), byte(sum), byte(sum>>8), byte(sum>>16), byte(sum>>24))
}

func TestDecodeEntry_StopsOnWhatItCannotJudge(t *testing.T) {
	good, err := record.AppendEntry(nil, oneOp(record.Op{Type: record.OpClaim, Claim: &record.Claim{Term: 3, Replica: 4}}))
	if err != nil {
		t.Fatal(err)
	}
	const headSize = 4 + 5 + 1 // magic and format, five numbers, the count
	change := func(at int, b byte) func() []byte {
		return func() []byte {
			bad := bytes.Clone(good)
			bad[at] = b
			return bad
		}
	}
	tests := []struct {
		name string
		make func() []byte
		kind fault.Kind
	}{
		{"nothing", func() []byte { return nil }, fault.Corrupt},
		{"bad magic", change(0, 'x'), fault.Corrupt},
		{"flipped bit", change(headSize+8, good[headSize+8]^1), fault.Corrupt},
		{"cut", func() []byte { return good[:len(good)-1] }, fault.Corrupt},
		{"unknown format", func() []byte { return reseal(change(3, 2)()) }, fault.Unsupported},
		{"too new a level", func() []byte { return reseal(change(4, byte(record.FeatureLevel)+1)()) }, fault.Unsupported},
		{"unknown operation", func() []byte { return reseal(change(headSize, 200)()) }, fault.Unsupported},
		{"wrong length of an operation", func() []byte { return reseal(change(headSize+1, good[headSize+1]-1)()) }, fault.Corrupt},
		{"more operations than bytes", func() []byte { return reseal(change(headSize-1, 100)()) }, fault.Corrupt},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			_, err := record.DecodeEntry(tt.make())
			e, ok := fault.As(err)
			if !ok || e.Kind != tt.kind || e.Hint == "" {
				t.Errorf("error %v; want %v with an instruction", err, tt.kind)
			}
		})
	}
}

// A count never asks for more memory than the bytes that follow could fill.
func TestDecoders_BoundWhatTheyAllocate(t *testing.T) {
	huge := []byte{0xff, 0xff, 0xff, 0xff, 0x7f}
	if _, err := record.DecodeResults(append([]byte{1}, huge...)); !fault.Is(err, fault.Corrupt) {
		t.Errorf("results: %v", err)
	}
	if _, err := record.DecodeTransaction(append([]byte{1, 0, 0, 0, 0}, huge...)); !fault.Is(err, fault.Corrupt) {
		t.Errorf("transaction: %v", err)
	}
	one := record.AppendResults(nil, []record.Result{{Txn: &record.TxnResult{}}})
	if _, err := record.DecodeResults(append(one[:len(one)-1], huge...)); !fault.Is(err, fault.Corrupt) {
		t.Errorf("answers: %v", err)
	}
}
