package record_test

import (
	"pgregory.net/rapid"

	"supercluster/region/record"
)

// Generators of values as decoders give them: no empty slices, only the fields that belong to a type.

func genName() *rapid.Generator[string] {
	return rapid.Custom(func(t *rapid.T) string {
		letters := rapid.SampledFrom([]byte{0, 0, 1, 2, 'a', 'b', '/', 0xfe, 0xff})
		return string(rapid.SliceOfN(letters, 0, 6).Draw(t, "name"))
	})
}

func genBytes() *rapid.Generator[[]byte] {
	return rapid.Custom(func(t *rapid.T) []byte {
		b := rapid.SliceOfN(rapid.Byte(), 0, 20).Draw(t, "bytes")
		if len(b) == 0 {
			return nil
		}
		return b
	})
}

func genID() *rapid.Generator[[16]byte] {
	return rapid.Custom(func(t *rapid.T) (id [16]byte) {
		copy(id[:], rapid.SliceOfN(rapid.Byte(), 0, 16).Draw(t, "id"))
		return id
	})
}

func genKey() *rapid.Generator[record.Key] {
	return rapid.Custom(func(t *rapid.T) record.Key {
		return record.Key{
			Shard:  rapid.Uint32Range(0, 2).Draw(t, "shard"),
			Tenant: rapid.Uint32().Draw(t, "tenant"), Namespace: rapid.Uint32Range(0, 2).Draw(t, "namespace"),
			Kind: record.Kind(rapid.Uint16().Draw(t, "kind")), Scope: rapid.Uint32Range(0, 2).Draw(t, "scope"),
			Name: genName().Draw(t, "name"),
		}
	})
}

func genWriter() *rapid.Generator[record.Writer] {
	return rapid.Custom(func(t *rapid.T) record.Writer {
		return record.Writer{
			Time: rapid.Int64().Draw(t, "time"), Actor: genName().Draw(t, "actor"), Message: genName().Draw(t, "message"),
		}
	})
}

func genTrace() *rapid.Generator[record.Trace] {
	return rapid.Custom(func(t *rapid.T) (trace record.Trace) {
		trace.TraceID = genID().Draw(t, "trace id")
		trace.SpanID[3] = rapid.Byte().Draw(t, "span")
		trace.Flags = rapid.Byte().Draw(t, "flags")
		return trace
	})
}

func genAttributes() *rapid.Generator[record.Attributes] {
	return rapid.Custom(func(t *rapid.T) record.Attributes {
		a := record.Attributes{
			Format: rapid.Byte().Draw(t, "format"), Flags: rapid.Uint64().Draw(t, "flags"),
			LockIndex: rapid.Uint64().Draw(t, "lock index"), Session: genName().Draw(t, "session"),
		}
		if rapid.Bool().Draw(t, "written") {
			a.Writer = genWriter().Draw(t, "writer")
		}
		return a
	})
}

func genRecord() *rapid.Generator[record.Record] {
	return rapid.Custom(func(t *rapid.T) record.Record {
		return record.Record{
			Key: genKey().Draw(t, "key"), Value: genBytes().Draw(t, "value"),
			CreateRevision: rapid.Uint64().Draw(t, "create"), ModifyRevision: rapid.Uint64().Draw(t, "modify"),
			Version: rapid.Uint64().Draw(t, "version"), Lease: rapid.Uint64Range(0, 3).Draw(t, "lease"),
			Origin: record.Origin{
				Home: genID().Draw(t, "home"), OwnerEpoch: rapid.Uint64().Draw(t, "epoch"),
				HomeRevision: rapid.Uint64().Draw(t, "home revision"), FeedSequence: rapid.Uint64().Draw(t, "feed"),
				Incarnation: rapid.Uint64().Draw(t, "incarnation"),
			},
			Attributes: genAttributes().Draw(t, "attributes"), Deleted: rapid.Bool().Draw(t, "deleted"),
		}
	})
}

func genRange() *rapid.Generator[record.Range] {
	return rapid.Custom(func(t *rapid.T) record.Range {
		return record.Range{
			Shard: 1, Tenant: rapid.Uint32().Draw(t, "tenant"), Namespace: 3, Kind: record.KindConfig, Scope: 1,
			From: genName().Draw(t, "from"), To: genName().Draw(t, "to"), Limit: rapid.IntRange(0, 1<<30).Draw(t, "limit"),
			KeysOnly: rapid.Bool().Draw(t, "keys"), CountOnly: rapid.Bool().Draw(t, "count"),
		}
	})
}

func genTxnOp() *rapid.Generator[record.TxnOp] {
	return rapid.Custom(func(t *rapid.T) record.TxnOp {
		op := record.TxnOp{Type: record.TxnOpType(rapid.IntRange(1, 5).Draw(t, "type"))}
		op.Previous = rapid.Bool().Draw(t, "previous")
		switch op.Type {
		case record.TxnPut:
			op.Key, op.Value = genKey().Draw(t, "key"), genBytes().Draw(t, "value")
			op.Lease = rapid.Uint64Range(0, 2).Draw(t, "lease")
			op.Attributes = genAttributes().Draw(t, "attributes")
			op.IgnoreLease, op.IgnoreValue = rapid.Bool().Draw(t, "keep lease"), rapid.Bool().Draw(t, "keep value")
		case record.TxnDelete, record.TxnGet:
			op.Key = genKey().Draw(t, "key")
		default:
			op.Range = genRange().Draw(t, "range")
		}
		return op
	})
}

func genTxn() *rapid.Generator[record.Txn] {
	return rapid.Custom(func(t *rapid.T) record.Txn {
		list := func(name string) []record.TxnOp {
			ops := rapid.SliceOfN(genTxnOp(), 0, 4).Draw(t, name)
			if len(ops) == 0 {
				return nil
			}
			return ops
		}
		txn := record.Txn{
			Shard: rapid.Uint32().Draw(t, "shard"), Then: list("then"), Else: list("else"),
			Writer: genWriter().Draw(t, "writer"), Trace: genTrace().Draw(t, "trace"),
		}
		for range rapid.IntRange(0, 3).Draw(t, "compares") {
			txn.Compare = append(txn.Compare, record.Compare{
				Key:      genKey().Draw(t, "key"),
				Target:   record.CompareTarget(rapid.IntRange(1, 5).Draw(t, "target")),
				Operator: record.CompareOperator(rapid.IntRange(1, 4).Draw(t, "operator")),
				Number:   rapid.Uint64().Draw(t, "number"), Value: genBytes().Draw(t, "value"),
			})
		}
		return txn
	})
}

func genOp() *rapid.Generator[record.Op] {
	return rapid.Custom(func(t *rapid.T) record.Op {
		op := record.Op{
			Type: record.OpType(rapid.IntRange(1, int(record.OpWithdraw)).Draw(t, "type")), Tenant: rapid.Uint32().Draw(t, "tenant"),
			RequestID: genName().Draw(t, "request"), Seen: rapid.Uint64().Draw(t, "seen"),
		}
		u64 := func(name string) uint64 { return rapid.Uint64().Draw(t, name) }
		switch op.Type {
		case record.OpTxn, record.OpHeal:
			txn := genTxn().Draw(t, "txn")
			op.Txn = &txn
		case record.OpCompact:
			op.Compact = &record.Compact{Shard: 1, Revision: u64("revision")}
		case record.OpPurge:
			op.Purge = &record.Purge{Shard: 1, Changes: rapid.Uint32().Draw(t, "changes")}
		case record.OpClaim:
			op.Claim = &record.Claim{Term: u64("term"), Replica: u64("replica")}
		case record.OpTick:
			op.Tick = &record.Tick{Term: u64("term"), Sequence: u64("sequence"), DeltaNanos: rapid.Int64().Draw(t, "delta")}
		case record.OpAlarm:
			op.Alarm = &record.Alarm{Kind: record.AlarmNoSpace, Replica: u64("replica"), Raised: rapid.Bool().Draw(t, "raised")}
		case record.OpIdentity:
			op.Identity = &record.Identity{RegionID: genID().Draw(t, "region"), Name: genName().Draw(t, "name")}
		case record.OpCreateTenant, record.OpDeleteTenant, record.OpCreateNamespace, record.OpDeleteNamespace:
			op.Tenancy = &record.Tenancy{
				Tenant: genName().Draw(t, "tenant name"), Namespace: genName().Draw(t, "namespace name"),
				UID: genID().Draw(t, "uid"), Value: genBytes().Draw(t, "value"),
				Writer: genWriter().Draw(t, "writer"), Trace: genTrace().Draw(t, "trace"),
			}
		default:
			genFeedOp(t, &op)
		}
		return op
	})
}

func genEntry() *rapid.Generator[record.Entry] {
	return rapid.Custom(func(t *rapid.T) record.Entry {
		e := record.Entry{
			Level: rapid.Uint32Range(0, record.FeatureLevel).Draw(t, "level"), Replica: rapid.Uint64().Draw(t, "replica"),
			Boot: rapid.Uint64().Draw(t, "boot"), Sequence: rapid.Uint64().Draw(t, "sequence"),
			Time: rapid.Int64().Draw(t, "time"),
		}
		if ops := rapid.SliceOfN(genOp(), 0, 5).Draw(t, "ops"); len(ops) > 0 {
			e.Ops = ops
		}
		return e
	})
}

func genResult() *rapid.Generator[record.Result] {
	return rapid.Custom(func(t *rapid.T) record.Result {
		r := record.Result{
			Status: record.Status(rapid.IntRange(0, int(record.StatusFenced)).Draw(t, "status")), Detail: genName().Draw(t, "detail"),
			Revision: rapid.Uint64().Draw(t, "revision"), Duplicate: rapid.Bool().Draw(t, "duplicate"),
			ID: rapid.Uint32().Draw(t, "id"),
		}
		if !rapid.Bool().Draw(t, "has txn") {
			return r
		}
		r.Txn = &record.TxnResult{Succeeded: rapid.Bool().Draw(t, "succeeded")}
		for range rapid.IntRange(0, 3).Draw(t, "answers") {
			a := record.TxnOpResult{Count: rapid.Uint64().Draw(t, "count"), More: rapid.Bool().Draw(t, "more")}
			if records := rapid.SliceOfN(genRecord(), 0, 3).Draw(t, "records"); len(records) > 0 {
				a.Records = records
			}
			r.Txn.Ops = append(r.Txn.Ops, a)
		}
		return r
	})
}

func genTransaction() *rapid.Generator[record.Transaction] {
	return rapid.Custom(func(t *rapid.T) record.Transaction {
		tr := record.Transaction{
			Writer: genWriter().Draw(t, "writer"), Trace: genTrace().Draw(t, "trace"), RequestID: genName().Draw(t, "request"),
		}
		if tr.Home = genID().Draw(t, "home"); tr.Home != [16]byte{} {
			tr.HomePosition = record.Position{Shard: rapid.Uint32().Draw(t, "shard"), Revision: rapid.Uint64().Draw(t, "at")}
		}
		for range rapid.IntRange(0, 4).Draw(t, "changes") {
			tr.Changes = append(tr.Changes, record.Change{
				Type: record.EventType(rapid.IntRange(1, 2).Draw(t, "type")), Key: genKey().Draw(t, "key"),
				Previous: rapid.Uint64().Draw(t, "previous"),
			})
		}
		return tr
	})
}
