package record_test

import (
	"bytes"
	"cmp"
	"crypto/sha256"
	"reflect"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"supercluster/internal/fault"
	"supercluster/region/record"
)

func TestFeedCodecs_DecodeGivesWhatWasEncoded(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		k := genFeedKey().Draw(t, "key")
		gotK, err := record.DecodeFeedKey(record.AppendFeedKey(nil, &k))
		equal(t, "key", gotK, k, err)

		e := genFeedEntry().Draw(t, "entry")
		gotE, err := record.DecodeFeedEntry(record.AppendFeedEntry(nil, &e))
		equal(t, "entry", gotE, e, err)

		r := genFeedRecord().Draw(t, "record")
		gotR, err := record.DecodeFeedRecord(record.AppendFeedRecord(nil, &r))
		equal(t, "record", gotR, r, err)

		h := genFeedHead().Draw(t, "head")
		gotH, err := record.DecodeFeedHead(record.AppendFeedHead(nil, &h))
		equal(t, "head", gotH, h, err)

		d := record.ChannelDocument{Region: genID().Draw(t, "region"), Channel: genChannel().Draw(t, "channel"), Signature: genSignature().Draw(t, "signature")}
		gotD, err := record.DecodeChannelDocument(record.AppendChannelDocument(nil, &d))
		equal(t, "document", gotD, d, err)
	})
}

func TestFeedCodecs_Rows(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		u64 := func() uint64 { return rapid.Uint64().Draw(t, "n") }
		u32 := func() uint32 { return rapid.Uint32().Draw(t, "n") }
		f := record.Federation{
			Incarnation: u64(), Seen: u64(), Fence: record.Fence(u32()), FencedAt: rapid.Int64().Draw(t, "at"), Fences: u32(),
			NextAlias: u32(), NextChannel: u32(), Reason: genName().Draw(t, "reason"),
		}
		gotF, err := record.DecodeFederation(record.AppendFederation(nil, &f))
		equal(t, "federation", gotF, f, err)

		channels := rapid.SliceOfN(genChannel(), 0, 3).Draw(t, "channels")
		gotC, err := record.DecodeChannels(record.AppendChannels(nil, channels))
		equal(t, "channels", gotC, channels, err)

		g := record.Region{ID: genID().Draw(t, "id"), Removed: rapid.Bool().Draw(t, "removed")}
		gotG, err := record.DecodeRegion(record.AppendRegion(nil, &g))
		equal(t, "region", gotG, g, err)

		s := genSelector().Draw(t, "selector")
		gotS, err := record.DecodeSelectorRow(record.AppendSelectorRow(nil, s))
		equal(t, "selector", gotS, s, err)

		space := record.FederatedNamespace{Tenant: genID().Draw(t, "tenant"), Namespace: genName().Draw(t, "namespace")}
		for range rapid.IntRange(0, 3).Draw(t, "placements") {
			space.Placements = append(space.Placements, record.Placement{Prefix: genName().Draw(t, "prefix"), Home: u32(), Epoch: u64()})
		}
		gotSpace, err := record.DecodeFederated(record.AppendFederated(nil, &space))
		equal(t, "federated", gotSpace, space, err)

		st := genFeedState().Draw(t, "state")
		gotSt, err := record.DecodeFeedState(record.AppendFeedState(nil, &st))
		equal(t, "state", gotSt, st, err)

		l := record.FeedLogRow{Chain: genHash().Draw(t, "chain"), Digest: genHash().Draw(t, "digest"), Revision: u64(), Head: genBytes().Draw(t, "head"), Record: []byte("r")}
		gotL, err := record.DecodeFeedLogRow(record.AppendFeedLogRow(nil, &l))
		equal(t, "log row", gotL, l, err)

		x := record.Exported{Sequence: u64(), Element: genHash().Draw(t, "element"), OwnerEpoch: u64(), Tenant: u32(), Namespace: u32()}
		gotX, err := record.DecodeExported(record.AppendExported(nil, &x))
		equal(t, "exported", gotX, x, err)

		m := record.Imported{
			Sequence: u64(), Element: genHash().Draw(t, "element"), Shown: rapid.Bool().Draw(t, "shown"), Tenant: u32(), Namespace: u32(),
			Quarantine: record.Quarantine(u32()), Entry: []byte("e"),
		}
		gotM, err := record.DecodeImported(record.AppendImported(nil, &m))
		equal(t, "imported", gotM, m, err)

		r := record.Resync{Target: genBytes().Draw(t, "target"), Next: genBytes().Draw(t, "next")}
		gotR, err := record.DecodeResync(record.AppendResync(nil, &r))
		equal(t, "resync", gotR, r, err)

		alias, channel, sequence := u32(), u32(), u64()
		gotA, err := record.DecodeAlias(record.AppendAlias(nil, alias))
		equal(t, "alias", gotA, alias, err)
		gotRK, err := record.DecodeRegionKey(record.AppendRegionKey(nil, alias))
		equal(t, "region key", gotRK, alias, err)
		a, c, err := record.DecodeFeedStateKey(record.AppendFeedStateKey(nil, alias, channel))
		equal(t, "state key", [2]uint32{a, c}, [2]uint32{alias, channel}, err)
		a, c, err = record.DecodeFederatedKey(record.AppendFederatedKey(nil, alias, channel))
		equal(t, "federated key", [2]uint32{a, c}, [2]uint32{alias, channel}, err)
		q, err := record.DecodeFeedLogKey(record.AppendFeedLogKey(nil, alias, channel, sequence))
		equal(t, "log key", q, sequence, err)
		wire := genBytes().Draw(t, "wire")
		equal(t, "exported key", string(record.ExportedFeedKey(record.AppendExportedKey(nil, channel, wire))), string(wire), nil)
		equal(t, "imported key", string(record.ImportedFeedKey(record.AppendImportedKey(nil, alias, channel, wire))), string(wire), nil)
	})
}

func compareFeedKeys(a, b record.FeedKey) int {
	place := func(regional bool) int {
		if regional {
			return 1
		}
		return 0
	}
	return cmp.Or(bytes.Compare(a.Tenant[:], b.Tenant[:]), strings.Compare(a.Namespace, b.Namespace), cmp.Compare(a.Kind, b.Kind),
		cmp.Compare(place(a.Regional), place(b.Regional)), strings.Compare(a.Name, b.Name))
}

// A snapshot is cut by the order of encoded keys, and a selector by a prefix of a name is a range of them.
func TestFeedKey_KeepsOrder(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		a, b := genFeedKey().Draw(t, "a"), genFeedKey().Draw(t, "b")
		switch rapid.IntRange(0, 3).Draw(t, "same") {
		case 1:
			b.Tenant = a.Tenant
		case 2:
			b.Tenant, b.Namespace = a.Tenant, a.Namespace
		case 3:
			name := b.Name
			b = a
			b.Name = name
		}
		ka, kb := record.AppendFeedKey(nil, &a), record.AppendFeedKey(nil, &b)
		if got, want := bytes.Compare(ka, kb), compareFeedKeys(a, b); got != want {
			t.Fatalf("%x and %x compare as %d, want %d", ka, kb, got, want)
		}
		if !bytes.Equal(ka, kb) && (bytes.HasPrefix(ka, kb) || bytes.HasPrefix(kb, ka)) {
			t.Fatalf("%x and %x: one begins the other", ka, kb)
		}
	})
}

// What a peer sends is refused and never stops the replica: as invalid, or as of a later version with what to do.
func TestFeedDecoders_JudgeWhatTheyCannotRead(t *testing.T) {
	key, entry := record.AppendFeedKey(nil, &goldenFeedKey), record.AppendFeedEntry(nil, &goldenEntry)
	rec := record.AppendFeedRecord(nil, &record.FeedRecord{Sequence: 1, Changes: []record.FeedChange{{Op: record.FeedDelete, Key: []byte{1}}}})
	head, doc := record.AppendFeedHead(nil, &goldenHead), record.AppendChannelDocument(nil, &goldenDocument)
	with := func(b []byte, at int, v byte) []byte {
		b = bytes.Clone(b)
		b[at] = v
		return b
	}
	discard := func(_ any, err error) error { return err }
	decodeKey := func(b []byte) error { return discard(record.DecodeFeedKey(b)) }
	decodeEntry := func(b []byte) error { return discard(record.DecodeFeedEntry(b)) }
	decodeRecord := func(b []byte) error { return discard(record.DecodeFeedRecord(b)) }
	decodeHead := func(b []byte) error { return discard(record.DecodeFeedHead(b)) }
	decodeDocument := func(b []byte) error { return discard(record.DecodeChannelDocument(b)) }
	tests := []struct {
		name   string
		decode func([]byte) error
		bytes  []byte
		kind   fault.Kind
	}{
		{"an empty key", decodeKey, nil, fault.Invalid},
		{"a key with a third place", decodeKey, with(key, 16+4+2+2, 2), fault.Invalid},
		{"a key that goes on", decodeKey, append(bytes.Clone(key), 0), fault.Invalid},
		{"a key without an end", decodeKey, key[:len(key)-1], fault.Invalid},
		{"a key with a bad escape", decodeKey, with(key, 16+4+1, 7), fault.Invalid},
		{"an empty entry", decodeEntry, nil, fault.Invalid},
		{"an entry cut short", decodeEntry, entry[:3], fault.Invalid},
		{"an entry of a later format", decodeEntry, with(entry, 0, 2), fault.Unsupported},
		{"an entry with a flag of records", decodeEntry, with(entry, 1, 4), fault.Unsupported},
		{"an entry with an unknown flag", decodeEntry, with(entry, 1, 0x80), fault.Unsupported},
		{"an empty record", decodeRecord, nil, fault.Invalid},
		{"a record of a later format", decodeRecord, with(rec, 0, 2), fault.Unsupported},
		{"a record with a flag of entries", decodeRecord, with(rec, 1, 1), fault.Unsupported},
		{"a record with an unknown operation", decodeRecord, with(rec, len(rec)-3, 4), fault.Unsupported},
		{"a record with no operation", decodeRecord, with(rec, len(rec)-3, 0), fault.Invalid},
		{"a record that goes on", decodeRecord, append(bytes.Clone(rec), 0), fault.Invalid},
		{"a record cut short", decodeRecord, rec[:len(rec)-1], fault.Invalid},
		{"a record with a huge count", decodeRecord, append([]byte{1, 0, 1, 1, 0, 0, 0}, 0xff, 0xff, 0xff, 0xff, 0x7f), fault.Invalid},
		{"an empty head", decodeHead, nil, fault.Invalid},
		{"a head of a later format", decodeHead, with(head, 0, 2), fault.Unsupported},
		{"a head that goes on", decodeHead, append(bytes.Clone(head), 0), fault.Invalid},
		{"a head cut short", decodeHead, head[:len(head)-1], fault.Invalid},
		{"an empty document", decodeDocument, nil, fault.Invalid},
		{"a document of a later format", decodeDocument, with(doc, 16, 2), fault.Unsupported},
		{"a document cut short", decodeDocument, doc[:len(doc)-1], fault.Invalid},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			err := tt.decode(tt.bytes)
			e, ok := fault.As(err)
			if !ok || e.Kind != tt.kind || (tt.kind == fault.Unsupported) != (e.Hint != "") {
				t.Errorf("%v; want %v", err, tt.kind)
			}
		})
	}
}

// A row that cannot be read stops the replica with an instruction.
func TestFeedRows_StopOnWhatTheyCannotRead(t *testing.T) {
	discard := func(_ any, err error) error { return err }
	decoders := map[string]func([]byte) error{
		"federation": func(b []byte) error { return discard(record.DecodeFederation(b)) },
		"channels":   func(b []byte) error { return discard(record.DecodeChannels(b)) },
		"alias":      func(b []byte) error { return discard(record.DecodeAlias(b)) },
		"region":     func(b []byte) error { return discard(record.DecodeRegion(b)) },
		"selector":   func(b []byte) error { return discard(record.DecodeSelectorRow(b)) },
		"federated":  func(b []byte) error { return discard(record.DecodeFederated(b)) },
		"state":      func(b []byte) error { return discard(record.DecodeFeedState(b)) },
		"log":        func(b []byte) error { return discard(record.DecodeFeedLogRow(b)) },
		"exported":   func(b []byte) error { return discard(record.DecodeExported(b)) },
		"imported":   func(b []byte) error { return discard(record.DecodeImported(b)) },
		"resync":     func(b []byte) error { return discard(record.DecodeResync(b)) },
	}
	for name, decode := range decoders {
		for _, tt := range []struct {
			bytes []byte
			kind  fault.Kind
		}{{nil, fault.Corrupt}, {[]byte{1}, fault.Corrupt}, {[]byte{1, 0xff}, fault.Corrupt}, {[]byte{9}, fault.Unsupported}} {
			if e, ok := fault.As(decode(tt.bytes)); !ok || e.Kind != tt.kind || e.Hint == "" {
				t.Errorf("%s of %x: %v; want %v with an instruction", name, tt.bytes, e, tt.kind)
			}
		}
	}
}

// The digest of a set depends on what is in it, not on how it came to be there.
func TestDigest_IsThatOfASet(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		n := rapid.IntRange(1, 8).Draw(t, "n")
		elements := make([]record.Digest, n)
		for i := range elements {
			elements[i] = genHash().Draw(t, "element")
			if rapid.Bool().Draw(t, "carries") {
				for j := range elements[i] {
					elements[i][j] = 0xff
				}
			}
		}
		var forwards, shuffled record.Digest
		for _, e := range elements {
			forwards.Add(e)
		}
		extra := record.Digest(genHash().Draw(t, "extra"))
		shuffled.Add(extra)
		for _, i := range rapid.Permutation(indexes(n)).Draw(t, "order") {
			shuffled.Add(elements[i])
		}
		shuffled.Remove(extra)
		equal(t, "digest", shuffled, forwards, nil)
		for _, i := range rapid.Permutation(indexes(n)).Draw(t, "order out") {
			forwards.Remove(elements[i])
		}
		equal(t, "digest of nothing", forwards, record.Digest{}, nil)
		forwards.Remove(extra)
		forwards.Add(extra)
		equal(t, "removed first", forwards, record.Digest{}, nil)
	})
}

func indexes(n int) []int {
	all := make([]int, n)
	for i := range all {
		all[i] = i
	}
	return all
}

// Element tells apart where the key ends.
func TestElement_KeyAndEntryDoNotRunIntoEachOther(t *testing.T) {
	if record.Element([]byte("ab"), []byte("c")) == record.Element([]byte("a"), []byte("bc")) {
		t.Error("two records have one element")
	}
}

func TestFeedPosition_After(t *testing.T) {
	at := func(incarnation, sequence uint64) record.FeedPosition {
		return record.FeedPosition{Incarnation: incarnation, Sequence: sequence}
	}
	for _, tt := range []struct {
		p, q record.FeedPosition
		want bool
	}{{at(1, 5), at(1, 4), true}, {at(1, 5), at(1, 5), false}, {at(1, 4), at(1, 5), false}, {at(2, 0), at(1, 9), true}, {at(1, 9), at(2, 0), false}} {
		if got := tt.p.After(tt.q); got != tt.want {
			t.Errorf("%v after %v: %v", tt.p, tt.q, got)
		}
	}
}

func TestSelector_Picks(t *testing.T) {
	k := record.FeedKey{Tenant: [16]byte{5}, Namespace: "prod", Kind: record.KindInstance, Name: "web/1"}
	for _, tt := range []struct {
		name string
		s    record.Selector
		want bool
	}{
		{"no term", nil, true},
		{"an empty term", record.Selector{{}}, true},
		{"a prefix", record.Selector{{Name: "web/"}}, true},
		{"another prefix", record.Selector{{Name: "db/"}}, false},
		{"the second term", record.Selector{{Name: "db/"}, {Kind: record.KindInstance}}, true},
		{"the name", record.Selector{{Name: "web/1", Exact: true}}, true},
		{"a prefix as the name", record.Selector{{Name: "web/", Exact: true}}, false},
		{"another tenant", record.Selector{{Tenant: [16]byte{6}}}, false},
		{"another namespace", record.Selector{{Namespace: "dev"}}, false},
		{"another kind", record.Selector{{Kind: record.KindCheck}}, false},
	} {
		if got := tt.s.Picks(&k); got != tt.want {
			t.Errorf("%s: %v", tt.name, got)
		}
	}
}

func TestFederatedNamespace_HomeIsThatOfTheLongestPrefix(t *testing.T) {
	s := record.FederatedNamespace{Placements: []record.Placement{
		{Prefix: "", Home: 1}, {Prefix: "a", Home: 2}, {Prefix: "a/b", Home: 3}, {Prefix: "b", Home: 4},
	}}
	for name, want := range map[string]uint32{"": 1, "A": 1, "a": 2, "a/": 2, "a/b": 3, "a/bc": 3, "a/c": 2, "b": 4, "c": 1} {
		if got := s.Home(name).Home; got != want {
			t.Errorf("home of %q is %d, not %d", name, got, want)
		}
	}
	if got := (&record.FederatedNamespace{}).Home("a"); got != (record.Placement{}) {
		t.Errorf("home without a placement: %+v", got)
	}
}

func TestClassOf(t *testing.T) {
	for kind, want := range map[record.Kind]record.Class{
		record.KindTenant: 0, record.KindNamespace: 0, record.KindNode: 0, 9: 0, record.KindRegion: record.ClassControl,
		record.KindPlacement: record.ClassControl, record.KindService: record.ClassServices, record.KindInstance: record.ClassEndpoints,
		record.KindCheck: record.ClassEndpoints, record.KindCheckStatus: record.ClassEndpoints, record.KindRoute: record.ClassConfig,
		record.KindConfig: record.ClassConfig, record.KindSummary: record.ClassSummaries, 999: record.ClassConfig,
	} {
		if got, ok := record.ClassOf(kind); ok != (want != 0) || ok && got != want {
			t.Errorf("kind %d is of class %d, %v; want %d", kind, got, ok, want)
		}
	}
}

func TestChannel_MayHave(t *testing.T) {
	c := record.Channel{}
	if !c.MayHave([16]byte{2}) {
		t.Error("a channel without an audience is for everybody")
	}
	c.Audience = [][16]byte{{2}}
	if !c.MayHave([16]byte{2}) || c.MayHave([16]byte{3}) {
		t.Error("an audience is not kept to")
	}
}

func TestLevelNeeded(t *testing.T) {
	old, feed := goldenOps(), make([]record.Op, 0)
	ops, _ := goldenFeedOps()
	level2 := len(ops)
	later, _ := goldenLevel3()
	ops = append(ops, later...)
	if got := record.LevelNeeded(old); got != 1 {
		t.Errorf("operations of level 1 need level %d", got)
	}
	for i := range ops {
		feed = append(feed[:0], old[0], ops[i])
		want := uint32(2)
		if op := ops[i].Type; op == record.OpImport || op == record.OpReplace || op == record.OpWalk || i >= level2 {
			want = record.LevelIncarnation
		}
		if c := ops[i].SetChannel; c != nil && c.Channel.Generation > 0 {
			want = record.LevelDocuments
		}
		if got := record.LevelNeeded(feed); got != want {
			t.Errorf("operation %d needs level %d", ops[i].Type, got)
		}
		carries := ops[i].Type == record.OpImport || ops[i].Type == record.OpReplace
		if ops[i].Carries() != carries {
			t.Errorf("operation %d carries: %v", ops[i].Type, ops[i].Carries())
		}
		if got := ops[i].Alone(); got != (carries || ops[i].Type == record.OpWalk) {
			t.Errorf("operation %d goes alone: %v", ops[i].Type, got)
		}
		if got := record.MaxBytes(ops[i : i+1]); carries != (got == record.MaxImportBytes) {
			t.Errorf("an entry of operation %d alone has the limit %d", ops[i].Type, got)
		}
		if got := record.MaxBytes(feed); got != record.MaxEntryBytes {
			t.Errorf("an entry of operation %d and another has the limit %d", ops[i].Type, got)
		}
	}
}

// An entry that takes in what another region sent may be larger, if it takes in nothing else.
func TestAppendEntry_LimitsWhatCarries(t *testing.T) {
	big := record.Op{Type: record.OpImport, Import: &record.Import{Records: [][]byte{make([]byte, 2<<20)}}}
	if _, err := record.AppendEntry(nil, oneOp(big)); err != nil {
		t.Errorf("2 MiB alone: %v", err)
	}
	two := record.Entry{Ops: []record.Op{big, {Type: record.OpClaim, Claim: &record.Claim{}}}}
	if _, err := record.AppendEntry(nil, &two); !fault.Is(err, fault.TooLarge) || !strings.Contains(err.Error(), "1572864") {
		t.Errorf("2 MiB with another operation: %v", err)
	}
	big.Import.Records = append(big.Import.Records, make([]byte, 2<<20))
	if _, err := record.AppendEntry(nil, oneOp(big)); !fault.Is(err, fault.TooLarge) || !strings.Contains(err.Error(), "4194304") {
		t.Errorf("4 MiB alone: %v", err)
	}
}

// decodeFeedRows reads bytes as every row of the feed: what decodes must encode, and decode to the same again.
func decodeFeedRows(t *testing.T, b []byte) {
	again(t, b, record.DecodeFederation, record.AppendFederation)
	again(t, b, record.DecodeRegion, record.AppendRegion)
	again(t, b, record.DecodeFederated, record.AppendFederated)
	again(t, b, record.DecodeFeedState, record.AppendFeedState)
	again(t, b, record.DecodeFeedLogRow, record.AppendFeedLogRow)
	again(t, b, record.DecodeExported, record.AppendExported)
	again(t, b, record.DecodeImported, record.AppendImported)
	again(t, b, record.DecodeResync, record.AppendResync)
	again(t, b, record.DecodeChannels, func(dst []byte, c *[]record.Channel) []byte { return record.AppendChannels(dst, *c) })
	again(t, b, record.DecodeSelectorRow, func(dst []byte, s *record.Selector) []byte { return record.AppendSelectorRow(dst, *s) })
	again(t, b, record.DecodeAlias, func(dst []byte, n *uint32) []byte { return record.AppendAlias(dst, *n) })
}

// again checks that what decodes encodes, and decodes to the same.
func again[T any](t *testing.T, b []byte, decode func([]byte) (T, error), appendTo func([]byte, *T) []byte) {
	t.Helper()
	v, err := decode(b)
	if err != nil {
		return
	}
	if got, err := decode(appendTo(nil, &v)); err != nil || !reflect.DeepEqual(got, v) {
		t.Fatalf("%x is %+v and becomes %+v: %v", b, v, got, err)
	}
}

func FuzzDecodeFeed(f *testing.F) {
	addGolden(f, "feed.golden")
	f.Fuzz(func(t *testing.T, b []byte) {
		if k, err := record.DecodeFeedKey(b); err == nil && !bytes.Equal(record.AppendFeedKey(nil, &k), b) {
			t.Fatalf("the key %x became %x", b, record.AppendFeedKey(nil, &k))
		}
		again(t, b, record.DecodeFeedEntry, record.AppendFeedEntry)
		again(t, b, record.DecodeFeedRecord, record.AppendFeedRecord)
		again(t, b, record.DecodeFeedHead, record.AppendFeedHead)
		again(t, b, record.DecodeChannelDocument, record.AppendChannelDocument)
	})
}

// An element is the hash of its parts, however long they are.
func TestElement_OfAnyLength(t *testing.T) {
	for _, n := range []int{0, 1, 1000, 1011, 1012, 1013, 1014, 1015, 1 << 20} {
		key, entry := []byte("0123456789"), bytes.Repeat([]byte{7}, n)
		if got, want := record.Element(key, entry), record.Digest(sha256.Sum256(append(append([]byte{10}, key...), entry...))); got != want {
			t.Errorf("of %d bytes: %x, want %x", n, got, want)
		}
	}
}
