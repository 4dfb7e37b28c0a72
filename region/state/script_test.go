package state_test

import (
	"fmt"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/cockroachdb/datadriven"

	"supercluster/internal/fault"
	"supercluster/region/record"
	"supercluster/region/state"
)

// Scripts in testdata: entries in; results, commits and the state hash out. Run with -rewrite to accept new output.
//
// Commands: entry, get, range, history, commits, load, summary, count, restore. The lines of `entry` are operations; see
// parseOp for their grammar.
func TestScripts(t *testing.T) {
	datadriven.Walk(t, "testdata/scripts", func(t *testing.T, path string) {
		w := newWorld(t)
		datadriven.RunTest(t, path, func(t *testing.T, d *datadriven.TestData) string {
			return w.command(t, d)
		})
	})
}

func (w *world) command(t *testing.T, d *datadriven.TestData) string {
	switch d.Cmd {
	case "entry":
		return w.entry(t, d)
	case "get":
		name, revision := "", uint64(0)
		d.ScanArgs(t, "name", &name)
		d.MaybeScanArgs(t, "rev", &revision)
		rec, found, err := state.Get(w.kv, key(name), revision)
		if err != nil || !found {
			return failed(err, "none")
		}
		return formatRecord(rec) + "\n"
	case "range":
		return w.rangeCommand(t, d)
	case "history":
		name := ""
		d.ScanArgs(t, "name", &name)
		records, err := state.History(w.kv, key(name), 0)
		return formatRecords(records) + failed(err, "")
	case "commits":
		from, limit, shard := uint64(0), 0, uint64(record.ShardData)
		d.ScanArgs(t, "from", &from)
		d.MaybeScanArgs(t, "limit", &limit)
		d.MaybeScanArgs(t, "shard", &shard)
		commits, err := state.Commits(w.kv, uint32(shard), from, limit)
		return formatCommits(commits) + failed(err, "")
	case "load":
		var b strings.Builder
		err := state.Load(w.kv, []record.Kind{record.KindTenant, record.KindNamespace, record.KindService}, func(r record.Record) error {
			b.WriteString(formatRecord(r) + "\n")
			return nil
		})
		return b.String() + failed(err, "")
	case "summary":
		s, err := state.Summarize(w.kv)
		return formatSummary(s) + failed(err, "")
	case "count":
		tenant, namespace := uint64(1), uint64(0)
		d.MaybeScanArgs(t, "tenant", &tenant)
		d.MaybeScanArgs(t, "ns", &namespace)
		n, found, err := state.Count(w.kv, uint32(tenant), uint32(namespace))
		if err != nil || !found {
			return failed(err, "none")
		}
		return fmt.Sprintf("keys=%d bytes=%d history=%d\n", n.Keys, n.Bytes, n.History)
	default:
		t.Fatalf("%s: unknown command %q", d.Pos, d.Cmd)
		return ""
	}
}

func (w *world) rangeCommand(t *testing.T, d *datadriven.TestData) string {
	rng, revision := record.Range{Shard: 1, Tenant: 1, Namespace: 1, Kind: record.KindService}, uint64(0)
	d.MaybeScanArgs(t, "from", &rng.From)
	d.MaybeScanArgs(t, "to", &rng.To)
	d.MaybeScanArgs(t, "limit", &rng.Limit)
	d.MaybeScanArgs(t, "rev", &revision)
	rng.KeysOnly, rng.CountOnly = d.HasArg("keys"), d.HasArg("count")
	res, err := state.ReadRange(w.kv, rng, revision)
	if err != nil {
		return failed(err, "")
	}
	return formatRecords(res.Records) + fmt.Sprintf("count=%d more=%v\n", res.Count, res.More)
}

func (w *world) entry(t *testing.T, d *datadriven.TestData) string {
	e := &record.Entry{Time: int64(w.index+1) * 1000}
	d.MaybeScanArgs(t, "replica", &e.Replica)
	d.MaybeScanArgs(t, "boot", &e.Boot)
	d.MaybeScanArgs(t, "seq", &e.Sequence)
	for line := range strings.Lines(d.Input) {
		op, err := parseOp(strings.TrimSpace(line))
		if err != nil {
			t.Fatalf("%s: %v", d.Pos, err)
		}
		e.Ops = append(e.Ops, op)
	}
	e.Level = record.LevelNeeded(e.Ops)
	out := w.apply(t, e)
	var b strings.Builder
	for i, r := range out.Results {
		fmt.Fprintf(&b, "%d: %s\n", i+1, formatResult(r))
	}
	return b.String() + formatCommits(out.Commits) + fmt.Sprintf("hash %x\n", w.hash(t))
}

func failed(err error, otherwise string) string {
	if err != nil {
		return fmt.Sprintf("error %v: %v\n", fault.KindOf(err), err)
	}
	if otherwise != "" {
		return otherwise + "\n"
	}
	return ""
}

// key reads a record name: name, of kind service in the default namespace, or kind:name, or kind@tenant.namespace:name.
func key(s string) record.Key {
	k := record.Key{Shard: record.ShardData, Tenant: 1, Namespace: 1, Kind: record.KindService, Name: s}
	head, name, found := strings.Cut(s, ":")
	if !found {
		return k
	}
	k.Name = name
	kind, place, placed := strings.Cut(head, "@")
	if placed {
		tenant, namespace, _ := strings.Cut(place, ".")
		k.Tenant, k.Namespace = uint32(number(tenant)), uint32(number(namespace))
	}
	kinds := map[string]record.Kind{
		"tenant": record.KindTenant, "namespace": record.KindNamespace, "node": record.KindNode,
		"service": record.KindService, "instance": record.KindInstance, "config": record.KindConfig,
		"check": record.KindCheck, "route": record.KindRoute, "region": record.KindRegion, "placement": record.KindPlacement,
		"check-status": record.KindCheckStatus, "summary": record.KindSummary, "odd": 999,
	}
	k.Kind = kinds[kind]
	switch k.Kind {
	case record.KindNode, record.KindTenant, record.KindNamespace, record.KindRegion, record.KindPlacement:
		k.Shard = record.ShardSystem
		if !placed {
			k.Tenant, k.Namespace = 0, 0
		}
	case record.KindInstance, record.KindCheck, record.KindCheckStatus, record.KindSummary:
		k.Scope = record.ScopeRegion
	}
	return k
}

func number(s string) uint64 {
	n, err := strconv.ParseUint(s, 10, 64)
	if err != nil {
		panic(err)
	}
	return n
}

// parseOp reads one operation:
//
//	put NAME VALUE | del NAME | delrange FROM TO     a transaction of one operation
//	txn [if CMP [& CMP]...] then OP [; OP]... [else OP [; OP]...]
//	identity DIGIT NAME | tenant-create NAME | tenant-delete NAME | ns-create TENANT NAME | ns-delete TENANT NAME
//	the operations of federation: see parseFeedOp
//	compact SHARD REVISION | purge SHARD CHANGES | claim TERM REPLICA | tick TERM SEQUENCE MILLISECONDS | alarm on|off REPLICA
//
// before it may stand req=ID, seen=REVISION and tenant=ID.
func parseOp(line string) (record.Op, error) {
	op := record.Op{}
	f := strings.Fields(line)
	for len(f) > 0 && strings.Contains(f[0], "=") {
		name, value, _ := strings.Cut(f[0], "=")
		switch name {
		case "req":
			op.RequestID = value
		case "seen":
			op.Seen = number(value)
		case "tenant":
			op.Tenant = uint32(number(value))
		}
		f = f[1:]
	}
	if len(f) < 2 {
		return op, fmt.Errorf("cannot read %q", line)
	}
	writer := record.Writer{Actor: "ada"}
	switch f[0] {
	case "put", "del", "delrange":
		op.Type, op.Txn = record.OpTxn, &record.Txn{Shard: record.ShardData, Then: []record.TxnOp{parseTxnOp(f)}, Writer: writer}
		if shard := op.Txn.Then[0].Key.Shard; f[0] != "delrange" {
			op.Txn.Shard = shard
		}
	case "txn":
		op.Type, op.Txn = record.OpTxn, parseTxn(f[1:])
		op.Txn.Writer = writer
	case "identity":
		op.Type, op.Identity = record.OpIdentity, &record.Identity{RegionID: [16]byte{byte(number(f[1]))}, Name: f[2]}
	case "tenant-create", "tenant-delete":
		op.Type, op.Tenancy = record.OpCreateTenant, &record.Tenancy{Tenant: f[1], Writer: writer}
		if f[0] == "tenant-delete" {
			op.Type = record.OpDeleteTenant
		}
	case "ns-create", "ns-delete":
		op.Type, op.Tenancy = record.OpCreateNamespace, &record.Tenancy{Tenant: f[1], Namespace: f[2], Writer: writer}
		if f[0] == "ns-delete" {
			op.Type = record.OpDeleteNamespace
		}
	case "compact":
		op.Type, op.Compact = record.OpCompact, &record.Compact{Shard: uint32(number(f[1])), Revision: number(f[2])}
	case "purge":
		op.Type, op.Purge = record.OpPurge, &record.Purge{Shard: uint32(number(f[1])), Changes: uint32(number(f[2]))}
	case "claim":
		op.Type, op.Claim = record.OpClaim, &record.Claim{Term: number(f[1]), Replica: number(f[2])}
	case "tick":
		op.Type = record.OpTick
		op.Tick = &record.Tick{Term: number(f[1]), Sequence: number(f[2]), DeltaNanos: int64(number(f[3])) * int64(time.Millisecond)}
	case "alarm":
		op.Type, op.Alarm = record.OpAlarm, &record.Alarm{Kind: record.AlarmNoSpace, Replica: number(f[2]), Raised: f[1] == "on"}
	default:
		return parseFeedOp(op, f)
	}
	return op, nil
}

func parseTxn(f []string) *record.Txn {
	t := &record.Txn{Shard: record.ShardData}
	list := &t.Then
	var words []string
	flush := func() {
		if len(words) > 0 {
			*list = append(*list, parseTxnOp(words))
		}
		words = nil
	}
	for i := 0; i < len(f); i++ {
		switch f[i] {
		case "if", "&":
			i++
			t.Compare = append(t.Compare, parseCompare(f[i]))
		case "then", ";":
			flush()
		case "else":
			flush()
			list = &t.Else
		default:
			words = append(words, f[i])
		}
	}
	flush()
	return t
}

// parseCompare reads mod(NAME)OPERATORNUMBER and the like; val(NAME)=TEXT.
func parseCompare(s string) record.Compare {
	target, rest, _ := strings.Cut(s, "(")
	name, rest, _ := strings.Cut(rest, ")")
	c := record.Compare{Key: key(name)}
	c.Target = map[string]record.CompareTarget{
		"mod": record.CompareModifyRevision, "create": record.CompareCreateRevision, "version": record.CompareVersion,
		"lease": record.CompareLease, "val": record.CompareValue,
	}[target]
	c.Operator = map[byte]record.CompareOperator{
		'=': record.CompareEqual, '!': record.CompareNotEqual, '>': record.CompareGreater, '<': record.CompareLess,
	}[rest[0]]
	if c.Target == record.CompareValue {
		c.Value = []byte(rest[1:])
	} else {
		c.Number = number(rest[1:])
	}
	return c
}

// parseTxnOp reads put NAME VALUE, del NAME, get NAME, delrange FROM TO and range FROM TO, with options after them: prev,
// keep-value, keep-lease, lease=N, limit=N, keys, count. `-` is an empty FROM, TO or VALUE.
func parseTxnOp(f []string) record.TxnOp {
	arg := func(i int) string { return strings.TrimPrefix(f[i], "-") }
	rng := func() record.Range {
		return record.Range{Shard: 1, Tenant: 1, Namespace: 1, Kind: record.KindService, From: arg(1), To: arg(2)}
	}
	var op record.TxnOp
	rest := f[2:]
	switch f[0] {
	case "put":
		op = record.TxnOp{Type: record.TxnPut, Key: key(f[1]), Value: []byte(arg(2))}
		rest = f[3:]
	case "del":
		op = record.TxnOp{Type: record.TxnDelete, Key: key(f[1])}
	case "get":
		op = record.TxnOp{Type: record.TxnGet, Key: key(f[1])}
	case "delrange":
		op, rest = record.TxnOp{Type: record.TxnDeleteRange, Range: rng()}, f[3:]
	case "range":
		op, rest = record.TxnOp{Type: record.TxnRange, Range: rng()}, f[3:]
	default:
		panic("unknown operation " + f[0])
	}
	for _, option := range rest {
		name, value, _ := strings.Cut(option, "=")
		switch name {
		case "prev":
			op.Previous = true
		case "keep-value":
			op.IgnoreValue = true
		case "keep-lease":
			op.IgnoreLease = true
		case "lease":
			op.Lease = number(value)
		case "limit":
			op.Range.Limit = int(number(value))
		case "keys":
			op.Range.KeysOnly = true
		case "count":
			op.Range.CountOnly = true
		}
	}
	return op
}
