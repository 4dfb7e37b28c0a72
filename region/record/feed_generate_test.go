package record_test

import (
	"pgregory.net/rapid"

	"supercluster/region/record"
)

// Generators of what the feed adds, as decoders give it.

func genHash() *rapid.Generator[[32]byte] {
	return rapid.Custom(func(t *rapid.T) (h [32]byte) {
		copy(h[:], rapid.SliceOfN(rapid.Byte(), 0, 32).Draw(t, "hash"))
		return h
	})
}

func genSignature() *rapid.Generator[[64]byte] {
	return rapid.Custom(func(t *rapid.T) (s [64]byte) {
		copy(s[:], rapid.SliceOfN(rapid.Byte(), 0, 64).Draw(t, "signature"))
		return s
	})
}

func genFeedKey() *rapid.Generator[record.FeedKey] {
	return rapid.Custom(func(t *rapid.T) record.FeedKey {
		return record.FeedKey{
			Tenant: genID().Draw(t, "tenant"), Namespace: genName().Draw(t, "namespace"),
			Kind: record.Kind(rapid.Uint16().Draw(t, "kind")), Regional: rapid.Bool().Draw(t, "regional"),
			Name: genName().Draw(t, "name"),
		}
	})
}

func genFeedEntry() *rapid.Generator[record.FeedEntry] {
	return rapid.Custom(func(t *rapid.T) record.FeedEntry {
		return record.FeedEntry{
			OwnerEpoch: rapid.Uint64().Draw(t, "epoch"), Revision: rapid.Uint64().Draw(t, "revision"),
			Version: rapid.Uint64().Draw(t, "version"), Attributes: genAttributes().Draw(t, "attributes"),
			Extension: genBytes().Draw(t, "extension"), Value: genBytes().Draw(t, "value"),
		}
	})
}

func genFeedChange() *rapid.Generator[record.FeedChange] {
	return rapid.Custom(func(t *rapid.T) record.FeedChange {
		k := genFeedKey().Draw(t, "key")
		c := record.FeedChange{
			Op: record.FeedOp(rapid.IntRange(1, 3).Draw(t, "op")), Key: record.AppendFeedKey(nil, &k),
		}
		if c.Op == record.FeedPut {
			e := genFeedEntry().Draw(t, "entry")
			c.Entry = record.AppendFeedEntry(nil, &e)
		}
		return c
	})
}

func genFeedRecord() *rapid.Generator[record.FeedRecord] {
	return rapid.Custom(func(t *rapid.T) record.FeedRecord {
		r := record.FeedRecord{
			Sequence: rapid.Uint64().Draw(t, "sequence"), Revision: rapid.Uint64().Draw(t, "revision"),
			Backfill: rapid.Bool().Draw(t, "backfill"), Writer: genWriter().Draw(t, "writer"),
			Trace: genTrace().Draw(t, "trace"), Extension: genBytes().Draw(t, "extension"),
		}
		if changes := rapid.SliceOfN(genFeedChange(), 0, 4).Draw(t, "changes"); len(changes) > 0 {
			r.Changes = changes
		}
		return r
	})
}

func genPosition() *rapid.Generator[record.FeedPosition] {
	return rapid.Custom(func(t *rapid.T) record.FeedPosition {
		return record.FeedPosition{
			Incarnation: rapid.Uint64().Draw(t, "incarnation"), Sequence: rapid.Uint64().Draw(t, "sequence"),
			Chain: genHash().Draw(t, "chain"),
		}
	})
}

func genFeedHead() *rapid.Generator[record.FeedHead] {
	return rapid.Custom(func(t *rapid.T) record.FeedHead {
		return record.FeedHead{
			Region: genID().Draw(t, "region"), Channel: rapid.Uint32().Draw(t, "channel"),
			Generation: rapid.Uint64().Draw(t, "generation"), Position: genPosition().Draw(t, "position"),
			Digest: genHash().Draw(t, "digest"), Revision: rapid.Uint64().Draw(t, "revision"),
			Time: rapid.Int64().Draw(t, "time"), Signature: genSignature().Draw(t, "signature"),
		}
	})
}

func genSelector() *rapid.Generator[record.Selector] {
	return rapid.Custom(func(t *rapid.T) (s record.Selector) {
		for range rapid.IntRange(0, 3).Draw(t, "terms") {
			s = append(s, record.Term{
				Tenant: genID().Draw(t, "tenant"), Namespace: genName().Draw(t, "namespace"),
				Kind: record.Kind(rapid.Uint16().Draw(t, "kind")), Name: genName().Draw(t, "name"),
				Exact: rapid.Bool().Draw(t, "exact"),
			})
		}
		return s
	})
}

func genChannel() *rapid.Generator[record.Channel] {
	return rapid.Custom(func(t *rapid.T) record.Channel {
		c := record.Channel{
			ID: rapid.Uint32().Draw(t, "id"), Name: genName().Draw(t, "name"),
			Class:      record.Class(rapid.IntRange(0, 255).Draw(t, "class")),
			Projection: record.Projection(rapid.IntRange(0, 255).Draw(t, "projection")),
			Generation: rapid.Uint64().Draw(t, "generation"), Selector: genSelector().Draw(t, "selector"),
		}
		for range rapid.IntRange(0, 3).Draw(t, "audience") {
			c.Audience = append(c.Audience, genID().Draw(t, "region"))
		}
		return c
	})
}

// genFeedOp fills the body of one of the operations of federation.
func genFeedOp(t *rapid.T, op *record.Op) {
	region, channel := genID().Draw(t, "region"), rapid.Uint32().Draw(t, "channel")
	u64 := func(name string) uint64 { return rapid.Uint64().Draw(t, name) }
	switch op.Type {
	case record.OpPeer:
		op.Peer = &record.Peer{
			RegionID: region, Removed: rapid.Bool().Draw(t, "removed"), Value: genBytes().Draw(t, "value"),
			Writer: genWriter().Draw(t, "writer"), Trace: genTrace().Draw(t, "trace"), Compare: rapid.Bool().Draw(t, "compare"),
		}
		if op.Peer.Compare {
			op.Peer.Revision = u64("revision")
		}
	case record.OpLink:
		op.Link = &record.Link{RegionID: region, Remote: genID().Draw(t, "remote"), Tenant: channel, Writer: genWriter().Draw(t, "writer")}
	case record.OpPlace:
		op.Place = &record.Place{
			Tenant: channel, Namespace: rapid.Uint32().Draw(t, "namespace"), UID: genID().Draw(t, "uid"),
			Name: genName().Draw(t, "name"), Prefix: genName().Draw(t, "prefix"), Home: region,
			Removed: rapid.Bool().Draw(t, "removed"), Value: genBytes().Draw(t, "value"),
			Writer: genWriter().Draw(t, "writer"), Trace: genTrace().Draw(t, "trace"),
		}
	case record.OpSetChannel:
		op.SetChannel = &record.SetChannel{Channel: genChannel().Draw(t, "document"), Writer: genWriter().Draw(t, "writer")}
	case record.OpTake:
		op.Take = &record.Take{RegionID: region, Selector: genSelector().Draw(t, "selector"), Writer: genWriter().Draw(t, "writer")}
	case record.OpWalk:
		op.Walk = &record.Walk{
			RegionID: region, Channel: channel, Step: u64("step"), From: genBytes().Draw(t, "from"),
			Limit: rapid.Uint32().Draw(t, "limit"),
		}
	case record.OpImport:
		op.Import = &record.Import{
			RegionID: region, Channel: channel, From: genPosition().Draw(t, "from"), Head: genBytes().Draw(t, "head"),
			Document: genBytes().Draw(t, "document"),
		}
		if records := rapid.SliceOfN(genBytes(), 0, 4).Draw(t, "records"); len(records) > 0 {
			op.Import.Records = records
		}
	case record.OpReplace:
		op.Replace = &record.Replace{
			RegionID: region, Channel: channel, Target: genBytes().Draw(t, "target"), From: genBytes().Draw(t, "from"),
			To: genBytes().Draw(t, "to"), Document: genBytes().Draw(t, "document"),
		}
		for range rapid.IntRange(0, 4).Draw(t, "items") {
			op.Replace.Items = append(op.Replace.Items, record.FeedItem{Key: genBytes().Draw(t, "key"), Entry: genBytes().Draw(t, "entry")})
		}
	case record.OpFence:
		op.SetFence = &record.SetFence{
			Fence: record.Fence(rapid.IntRange(0, 255).Draw(t, "fence")), Proof: genBytes().Draw(t, "proof"), Reason: genName().Draw(t, "reason"),
		}
	case record.OpMint:
		op.Mint = &record.Mint{Incarnation: u64("incarnation"), Seen: u64("seen"), Operator: rapid.Bool().Draw(t, "operator"), Writer: genWriter().Draw(t, "writer")}
	case record.OpWithdraw:
		op.Withdraw = &record.Withdraw{RegionID: region, Channel: channel, Document: genBytes().Draw(t, "document")}
	case record.OpTrimFeed:
		op.TrimFeed = &record.TrimFeed{RegionID: region, Channel: channel, Through: u64("through")}
	}
}

func genFeedState() *rapid.Generator[record.FeedState] {
	return rapid.Custom(func(t *rapid.T) record.FeedState {
		u64 := func(name string) uint64 { return rapid.Uint64().Draw(t, name) }
		return record.FeedState{
			Position: genPosition().Draw(t, "position"), Digest: genHash().Draw(t, "digest"), Revision: u64("revision"),
			Records: u64("records"), FloorSequence: u64("floor"), FloorChain: genHash().Draw(t, "floor chain"),
			LogBytes: u64("log bytes"), Step: u64("step"), Walking: rapid.Bool().Draw(t, "walking"),
			Next: genBytes().Draw(t, "next"), Quarantined: u64("quarantined"), Head: genBytes().Draw(t, "head"),
			Document: genBytes().Draw(t, "document"),
		}
	})
}
