package record_test

import (
	"fmt"
	"testing"

	"supercluster/region/record"
)

var (
	goldenRegion   = [16]byte{1, 15: 2}
	goldenHash     = [32]byte{7, 31: 8}
	goldenPosition = record.FeedPosition{Incarnation: 3, Sequence: 70000, Chain: goldenHash}
	goldenFeedKey  = record.FeedKey{Tenant: [16]byte{5, 15: 6}, Namespace: "prod", Kind: record.KindInstance, Regional: true, Name: "web/1"}
	goldenEntry    = record.FeedEntry{OwnerEpoch: 2, Revision: 300, Version: 4, Value: []byte("value")}
	goldenHead     = record.FeedHead{
		Region: goldenRegion, Channel: 2, Generation: 3<<32 | 1, Position: goldenPosition, Digest: record.Digest{9, 31: 1},
		Revision: 301, Time: goldenTime, Signature: [64]byte{1, 63: 2},
	}
	goldenSelector = record.Selector{
		{Tenant: [16]byte{5}, Namespace: "prod", Kind: record.KindInstance, Name: "web/"}, {Name: "k\x00", Exact: true},
	}
	goldenChannel = record.Channel{
		ID: 2, Name: "all", Class: record.ClassEndpoints, Projection: record.ProjectionFull, Generation: 3<<32 | 1,
		Selector: goldenSelector, Audience: [][16]byte{{2}, {3, 15: 4}},
	}
	goldenDocument = record.ChannelDocument{Region: goldenRegion, Channel: goldenChannel, Signature: [64]byte{3, 63: 4}}
)

// decoded adapts a decoder to golden lines.
func decoded[T any](decode func([]byte) (T, error)) func([]byte) (any, error) {
	return func(b []byte) (any, error) { return decode(b) }
}

func TestGolden_Feed(t *testing.T) {
	key := func(name string, k record.FeedKey) golden {
		return golden{name, record.AppendFeedKey(nil, &k), k, decoded(record.DecodeFeedKey)}
	}
	entry := func(name string, e record.FeedEntry) golden {
		return golden{name, record.AppendFeedEntry(nil, &e), e, decoded(record.DecodeFeedEntry)}
	}
	rec := func(name string, r record.FeedRecord) golden {
		return golden{name, record.AppendFeedRecord(nil, &r), r, decoded(record.DecodeFeedRecord)}
	}
	doc := func(name string, d record.ChannelDocument) golden {
		return golden{name, record.AppendChannelDocument(nil, &d), d, decoded(record.DecodeChannelDocument)}
	}
	wire, value := record.AppendFeedKey(nil, &goldenFeedKey), record.AppendFeedEntry(nil, &goldenEntry)
	everything := record.FeedEntry{
		OwnerEpoch: 1, Revision: 70000, Version: 128, Extension: []byte("later"), Value: []byte{0},
		Attributes: record.Attributes{Format: 2, Flags: 1 << 40, LockIndex: 5, Session: "s", Writer: goldenWriter},
	}
	head, chained := record.FeedHead{}, record.ChainNext(goldenHash, []byte("record"))
	element := record.Element(wire, value)
	checkGolden(t, "feed.golden", []golden{
		key("key", goldenFeedKey),
		key("key-placed", record.FeedKey{Tenant: [16]byte{5}, Namespace: "a\x00", Kind: record.KindConfig, Name: "\x00\x01"}),
		key("key-system", record.FeedKey{Kind: record.KindRegion, Regional: true, Name: "00"}),
		key("key-empty", record.FeedKey{}),
		entry("entry", goldenEntry),
		entry("entry-empty", record.FeedEntry{}),
		entry("entry-everything", everything),
		rec("record", record.FeedRecord{Sequence: 300, Revision: 301, Writer: goldenWriter, Changes: []record.FeedChange{
			{Op: record.FeedPut, Key: wire, Entry: value}, {Op: record.FeedDelete, Key: wire}, {Op: record.FeedUnexport, Key: []byte{1}},
		}}),
		rec("record-empty", record.FeedRecord{}),
		rec("record-everything", record.FeedRecord{
			Sequence: 1, Revision: 2, Backfill: true, Writer: goldenWriter, Trace: goldenTrace, Extension: []byte("later"),
			Changes: []record.FeedChange{{Op: record.FeedPut, Key: wire, Entry: value}},
		}),
		{"head", record.AppendFeedHead(nil, &goldenHead), goldenHead, decoded(record.DecodeFeedHead)},
		{"head-empty", record.AppendFeedHead(nil, &head), head, decoded(record.DecodeFeedHead)},
		{name: "head-signed", bytes: goldenHead.Signed()},
		doc("document", goldenDocument),
		doc("document-empty", record.ChannelDocument{}),
		{name: "document-signed", bytes: goldenDocument.Signed()},
		{name: "chain", bytes: chained[:]},
		{name: "element", bytes: element[:]},
	})
}

func TestGolden_FeedKeys(t *testing.T) {
	wire := record.AppendFeedKey(nil, &goldenFeedKey)
	plain := func(name string, b []byte) golden { return golden{name: name, bytes: b} }
	type numbers struct{ a, b uint32 }
	two := func(decode func([]byte) (uint32, uint32, error)) func([]byte) (any, error) {
		return func(b []byte) (any, error) {
			x, y, err := decode(b)
			return numbers{x, y}, err
		}
	}
	rest := func(cut func([]byte) []byte) func([]byte) (any, error) {
		return func(b []byte) (any, error) { return cut(b), nil }
	}
	checkGolden(t, "feed_keys.golden", []golden{
		plain("federation", record.FederationKey()),
		plain("channels", record.ChannelsKey()),
		plain("region-id", record.AppendRegionIDKey(nil, goldenRegion)),
		{"region", record.AppendRegionKey(nil, 258), uint32(258), decoded(record.DecodeRegionKey)},
		plain("link", record.AppendLinkKey(nil, 258, [16]byte{5, 15: 6})),
		plain("import-selector", record.AppendImportSelectorKey(nil, 258)),
		{"federated", record.AppendFederatedKey(nil, 2, 3), numbers{2, 3}, two(record.DecodeFederatedKey)},
		{"feed-state", record.AppendFeedStateKey(nil, 2, 258), numbers{2, 258}, two(record.DecodeFeedStateKey)},
		{"feed-log", record.AppendFeedLogKey(nil, 2, 258, 70000), uint64(70000), decoded(record.DecodeFeedLogKey)},
		{"exported", record.AppendExportedKey(nil, 258, wire), wire, rest(record.ExportedFeedKey)},
		{"imported", record.AppendImportedKey(nil, 2, 258, wire), wire, rest(record.ImportedFeedKey)},
		plain("resync", record.AppendResyncKey(nil, 2, 258)),
	})
}

func TestGolden_FeedRows(t *testing.T) {
	federation := record.Federation{
		Incarnation: 3, Seen: 4, Fence: record.FenceHealing, FencedAt: goldenTime, Fences: 2, NextAlias: 5, NextChannel: 300, Reason: "ahead",
	}
	region := record.Region{ID: goldenRegion, Removed: true}
	space := record.FederatedNamespace{Tenant: [16]byte{5}, Namespace: "prod", Placements: []record.Placement{
		{Home: 1, Epoch: 1}, {Prefix: "web/\x00", Home: 300, Epoch: 70000},
	}}
	state := record.FeedState{
		Position: goldenPosition, Digest: record.Digest{9}, Revision: 301, Records: 5, FloorSequence: 60000, FloorChain: goldenHash,
		LogBytes: 1 << 30, Step: 2, Walking: true, Next: []byte{1, 2}, Quarantined: 1, Head: []byte("head"), Document: []byte("document"),
	}
	log := record.FeedLogRow{Chain: goldenHash, Digest: record.Digest{9}, Revision: 301, Head: []byte("head"), Record: []byte("record")}
	exported := record.Exported{Sequence: 300, Element: record.Digest{9}, OwnerEpoch: 2, Tenant: 4, Namespace: 300}
	imported := record.Imported{
		Sequence: 300, Element: record.Digest{9}, Shown: true, Tenant: 4, Namespace: 300, Quarantine: record.QuarantineNotHome, Entry: []byte("entry"),
	}
	resync := record.Resync{Target: []byte("head"), Next: []byte{1, 2}}
	channels := []record.Channel{goldenChannel, {ID: 3, Class: record.ClassConfig, Projection: record.ProjectionSummary}}
	checkGolden(t, "feed_rows.golden", []golden{
		{"federation", record.AppendFederation(nil, &federation), federation, decoded(record.DecodeFederation)},
		{"channels", record.AppendChannels(nil, channels), channels, decoded(record.DecodeChannels)},
		{"alias", record.AppendAlias(nil, 300), uint32(300), decoded(record.DecodeAlias)},
		{"region", record.AppendRegion(nil, &region), region, decoded(record.DecodeRegion)},
		{"selector", record.AppendSelectorRow(nil, goldenSelector), goldenSelector, decoded(record.DecodeSelectorRow)},
		{"federated", record.AppendFederated(nil, &space), space, decoded(record.DecodeFederated)},
		{"feed-state", record.AppendFeedState(nil, &state), state, decoded(record.DecodeFeedState)},
		{"feed-state-empty", record.AppendFeedState(nil, &record.FeedState{}), record.FeedState{}, decoded(record.DecodeFeedState)},
		{"feed-log", record.AppendFeedLogRow(nil, &log), log, decoded(record.DecodeFeedLogRow)},
		{"exported", record.AppendExported(nil, &exported), exported, decoded(record.DecodeExported)},
		{"imported", record.AppendImported(nil, &imported), imported, decoded(record.DecodeImported)},
		{"resync", record.AppendResync(nil, &resync), resync, decoded(record.DecodeResync)},
	})
}

// goldenFeedOps is one operation of every type of federation.
func goldenFeedOps() (ops []record.Op, names []string) {
	add := func(name string, op record.Op) { ops, names = append(ops, op), append(names, name) }
	wire, value := record.AppendFeedKey(nil, &goldenFeedKey), record.AppendFeedEntry(nil, &goldenEntry)
	add("peer", record.Op{Type: record.OpPeer, Peer: &record.Peer{RegionID: goldenRegion, Value: []byte("value"), Writer: goldenWriter, Trace: goldenTrace}})
	add("peer-removed", record.Op{Type: record.OpPeer, Peer: &record.Peer{RegionID: goldenRegion, Removed: true}})
	add("link", record.Op{Type: record.OpLink, Link: &record.Link{RegionID: goldenRegion, Remote: [16]byte{5}, Tenant: 300}})
	add("place", record.Op{Type: record.OpPlace, Place: &record.Place{
		Tenant: 2, Namespace: 3, UID: [16]byte{5}, Name: "prod", Prefix: "web/", Home: goldenRegion, Value: []byte("value"),
		Writer: goldenWriter, Trace: goldenTrace,
	}})
	add("place-removed", record.Op{Type: record.OpPlace, Place: &record.Place{Tenant: 2, Namespace: 3, Prefix: "web/", Removed: true}})
	add("channel", record.Op{Type: record.OpSetChannel, SetChannel: &record.SetChannel{Channel: goldenChannel}})
	add("take", record.Op{Type: record.OpTake, Take: &record.Take{RegionID: goldenRegion, Selector: goldenSelector}})
	add("walk", record.Op{Type: record.OpWalk, Walk: &record.Walk{RegionID: goldenRegion, Channel: 2, Step: 3, From: wire, Limit: 1000}})
	add("import", record.Op{Type: record.OpImport, Import: &record.Import{
		RegionID: goldenRegion, Channel: 2, From: goldenPosition, Records: [][]byte{[]byte("record"), []byte("r2")}, Head: []byte("head"),
		Document: []byte("document"),
	}})
	add("import-idle", record.Op{Type: record.OpImport, Import: &record.Import{RegionID: goldenRegion, Channel: 2, From: goldenPosition, Head: []byte("head")}})
	add("replace", record.Op{Type: record.OpReplace, Replace: &record.Replace{
		RegionID: goldenRegion, Channel: 2, Target: []byte("head"), From: []byte{1}, To: []byte{2}, Document: []byte("document"),
		Items: []record.FeedItem{{Key: wire, Entry: value}, {Key: []byte{1, 2}}},
	}})
	add("fence", record.Op{Type: record.OpFence, SetFence: &record.SetFence{Fence: record.FenceClone, Proof: []byte("head"), Reason: "ahead"}})
	add("mint", record.Op{Type: record.OpMint, Mint: &record.Mint{Incarnation: 3, Seen: 4, Operator: true}})
	add("trim-feed", record.Op{Type: record.OpTrimFeed, TrimFeed: &record.TrimFeed{RegionID: goldenRegion, Channel: 2, Through: 70000}})
	add("heal", record.Op{Type: record.OpHeal, Tenant: 2, RequestID: "id-1", Seen: 300, Txn: &record.Txn{
		Shard: 1, Then: []record.TxnOp{{Type: record.TxnPut, Key: goldenKey, Value: []byte("value")}}, Writer: goldenWriter,
	}})
	return ops, names
}

// goldenLevel3 is what came with level 3.
func goldenLevel3() (ops []record.Op, names []string) {
	add := func(name string, op record.Op) { ops, names = append(ops, op), append(names, name) }
	add("withdraw", record.Op{Type: record.OpWithdraw, Withdraw: &record.Withdraw{RegionID: goldenRegion, Channel: 2, Document: []byte("document")}})
	add("peer-compared", record.Op{Type: record.OpPeer, Peer: &record.Peer{
		RegionID: goldenRegion, Value: []byte("value"), Writer: goldenWriter, Compare: true, Revision: 300,
	}})
	add("link-by", record.Op{Type: record.OpLink, Link: &record.Link{RegionID: goldenRegion, Remote: [16]byte{5}, Tenant: 300, Writer: goldenWriter}})
	add("channel-by", record.Op{Type: record.OpSetChannel, SetChannel: &record.SetChannel{Channel: goldenChannel, Writer: goldenWriter}})
	add("take-by", record.Op{Type: record.OpTake, Take: &record.Take{RegionID: goldenRegion, Selector: goldenSelector, Writer: goldenWriter}})
	add("mint-by", record.Op{Type: record.OpMint, Mint: &record.Mint{Incarnation: 3, Seen: 4, Operator: true, Writer: goldenWriter}})
	return ops, names
}

func TestGolden_FeedEntries(t *testing.T) {
	ops, names := goldenFeedOps()
	of := func(level uint32, name string, ops ...record.Op) golden {
		e := record.Entry{Level: level, Replica: 3, Boot: 2, Sequence: 300, Time: goldenTime, Ops: ops}
		b, err := record.AppendEntry(nil, &e)
		if err != nil {
			t.Fatal(err)
		}
		return golden{name, b, ops, func(b []byte) (any, error) {
			got, err := record.DecodeEntry(b)
			if err != nil || got.Level != level {
				return nil, fmt.Errorf("head is %+v: %w", got, err)
			}
			return got.Ops, nil
		}}
	}
	lines := []golden{of(2, "all", ops...)}
	for i := range ops {
		lines = append(lines, of(2, names[i], ops[i]))
	}
	ops, names = goldenLevel3()
	for i := range ops {
		lines = append(lines, of(3, names[i], ops[i]))
	}
	checkGolden(t, "feed_entries.golden", lines)
}
