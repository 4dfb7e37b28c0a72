package state_test

import (
	"bytes"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"supercluster/region/record"
	"supercluster/region/state"
)

// regionID is the id of a region in the words of the scripts: one digit.
func regionID(n uint64) [16]byte { return [16]byte{byte(n)} }

// parseFeedOp reads an operation of federation. Regions and tenants of other regions are named by one number, `-` is an
// empty prefix, and a term is a prefix of names, or =NAME.
//
//	peer REGION VALUE | unpeer REGION - | link REGION REMOTE TENANT | unlink REGION REMOTE | take REGION [TERM]...
//	place TENANT NAMESPACE UID NAME PREFIX REGION | unplace TENANT NAMESPACE UID NAME PREFIX
//	channel ID CLASS NAME [TERM]... | mint INCARNATION SEEN [operator] | trim REGION CHANNEL THROUGH
//	walk REGION CHANNEL STEP LIMIT | heal PUT-OR-DEL...
func parseFeedOp(op record.Op, f []string) (record.Op, error) {
	writer := record.Writer{Actor: "ada"}
	region := func(i int) [16]byte { return regionID(number(f[i])) }
	switch f[0] {
	case "peer":
		op.Type, op.Peer = record.OpPeer, &record.Peer{RegionID: region(1), Value: []byte(f[2]), Writer: writer}
	case "unpeer":
		op.Type, op.Peer = record.OpPeer, &record.Peer{RegionID: region(1), Removed: true, Writer: writer}
	case "link":
		op.Type, op.Link = record.OpLink, &record.Link{RegionID: region(1), Remote: region(2), Tenant: uint32(number(f[3]))}
	case "unlink":
		op.Type, op.Link = record.OpLink, &record.Link{RegionID: region(1), Remote: region(2)}
	case "take":
		op.Type, op.Take = record.OpTake, &record.Take{RegionID: region(1), Selector: parseTerms(f[2:])}
	case "place", "unplace":
		op.Type, op.Place = record.OpPlace, &record.Place{
			Tenant: uint32(number(f[1])), Namespace: uint32(number(f[2])), UID: region(3), Name: f[4],
			Prefix: strings.TrimPrefix(f[5], "-"), Removed: f[0] == "unplace", Writer: writer,
		}
		if f[0] == "place" {
			op.Place.Home, op.Place.Value = region(6), []byte("placed")
		}
	case "channel":
		op.Type, op.SetChannel = record.OpSetChannel, &record.SetChannel{Channel: record.Channel{
			ID: uint32(number(f[1])), Class: record.Class(number(f[2])), Projection: record.ProjectionFull, Name: f[3], Selector: parseTerms(f[4:]),
		}}
	case "mint":
		op.Type, op.Mint = record.OpMint, &record.Mint{Incarnation: number(f[1]), Seen: number(f[2]), Operator: len(f) > 3}
	case "trim":
		op.Type, op.TrimFeed = record.OpTrimFeed, &record.TrimFeed{RegionID: region(1), Channel: uint32(number(f[2])), Through: number(f[3])}
	case "walk":
		op.Type, op.Walk = record.OpWalk, &record.Walk{RegionID: region(1), Channel: uint32(number(f[2])), Step: number(f[3]), Limit: uint32(number(f[4]))}
	case "heal":
		then := parseTxnOp(f[1:])
		op.Type, op.Txn = record.OpHeal, &record.Txn{Shard: then.Key.Shard, Then: []record.TxnOp{then}, Writer: writer}
	default:
		return op, fmt.Errorf("unknown operation %q", f[0])
	}
	return op, nil
}

func parseTerms(f []string) (s record.Selector) {
	for _, term := range f {
		name, exact := strings.CutPrefix(term, "=")
		s = append(s, record.Term{Name: name, Exact: exact})
	}
	return s
}

// feedKey names a record as it travels, in the words of the scripts: KIND:NAME, of namespace `default` of tenant 9 of its
// home, or KIND@TENANT.NAMESPACE:NAME; ! before the kind claims it in the place that is not that of its kind.
func feedKey(s string) record.FeedKey {
	s, other := strings.CutPrefix(s, "!")
	head, name, _ := strings.Cut(s, ":")
	kind, place, placed := strings.Cut(head, "@")
	local := key(kind + ":" + name)
	k := record.FeedKey{Tenant: regionID(9), Namespace: "default", Kind: local.Kind, Regional: local.Scope != 0 != other, Name: name}
	if placed {
		tenant, namespace, _ := strings.Cut(place, ".")
		k.Tenant, k.Namespace = regionID(number(tenant)), namespace
	} else if local.Shard == record.ShardSystem {
		k.Tenant, k.Namespace, k.Regional = [16]byte{}, "", !other
	}
	return k
}

func wireKey(s string) []byte {
	k := feedKey(s)
	return record.AppendFeedKey(nil, &k)
}

// source is a channel of another region, made by hand: whatever its home could sign.
type source struct {
	region  [16]byte
	channel uint32
	at      record.FeedPosition
	digest  record.Digest
	live    map[string][]byte
	time    int64
}

func newSource(region uint64, channel uint32) *source {
	return &source{region: regionID(region), channel: channel, at: record.FeedPosition{Incarnation: 1}, live: map[string][]byte{}}
}

// clone gives a copy that goes its own way.
func (s *source) clone() *source {
	c := *s
	c.live = maps.Clone(s.live)
	return &c
}

func (s *source) head() []byte {
	s.time++
	return record.AppendFeedHead(nil, &record.FeedHead{
		Region: s.region, Channel: s.channel, Generation: 1<<32 | 1, Position: s.at, Digest: s.digest, Revision: 100 + s.at.Sequence, Time: s.time,
	})
}

// put and del are changes of a feed record.
func put(key, value string) record.FeedChange {
	return record.FeedChange{Op: record.FeedPut, Key: wireKey(key), Entry: record.AppendFeedEntry(nil, &record.FeedEntry{
		OwnerEpoch: 1, Revision: 50, Version: 7, Value: []byte(value),
	})}
}

func del(key string) record.FeedChange {
	return record.FeedChange{Op: record.FeedDelete, Key: wireKey(key)}
}

// set changes what the channel carries.
func (s *source) set(changes ...record.FeedChange) {
	for _, c := range changes {
		if old, found := s.live[string(c.Key)]; found {
			s.digest.Remove(record.Element(c.Key, old))
			delete(s.live, string(c.Key))
		}
		if c.Op == record.FeedPut {
			s.digest.Add(record.Element(c.Key, c.Entry))
			s.live[string(c.Key)] = c.Entry
		}
	}
}

// record makes the next record of the channel.
func (s *source) record(changes ...record.FeedChange) []byte {
	s.set(changes...)
	s.at.Sequence++
	b := record.AppendFeedRecord(nil, &record.FeedRecord{
		Sequence: s.at.Sequence, Revision: 100 + s.at.Sequence, Changes: changes,
		Writer: record.Writer{Time: 5000, Actor: "eve", Message: "from home"}, Trace: record.Trace{TraceID: [16]byte{0xab, 0xcd}, Flags: 1},
	})
	s.at.Chain = record.ChainNext(s.at.Chain, b)
	return b
}

// batch makes the import of some records, each of which is a list of changes.
func (s *source) batch(records ...[]record.FeedChange) record.Op {
	b := &record.Import{RegionID: s.region, Channel: s.channel, From: s.at}
	for _, changes := range records {
		b.Records = append(b.Records, s.record(changes...))
	}
	b.Head = s.head()
	return record.Op{Type: record.OpImport, Import: b}
}

// one is a batch of one record.
func (s *source) one(changes ...record.FeedChange) record.Op { return s.batch(changes) }

// snapshot makes the chunks of a snapshot, which is cut at some keys.
func (s *source) snapshot(cuts ...string) []record.Op {
	target := s.head()
	var ops []record.Op
	from := []byte(nil)
	for i := range len(cuts) + 1 {
		b := &record.Replace{RegionID: s.region, Channel: s.channel, Target: target, From: from}
		if i < len(cuts) {
			b.To = wireKey(cuts[i])
		}
		for k, entry := range s.live {
			if bytes.Compare([]byte(k), from) >= 0 && (b.To == nil || bytes.Compare([]byte(k), b.To) < 0) {
				b.Items = append(b.Items, record.FeedItem{Key: []byte(k), Entry: entry})
			}
		}
		slices.SortFunc(b.Items, func(x, y record.FeedItem) int { return bytes.Compare(x.Key, y.Key) })
		ops, from = append(ops, record.Op{Type: record.OpReplace, Replace: b}), b.To
	}
	return ops
}

// newReceiver is region 1 with the peers 2 and 3. Tenant 9 of each is linked to tenant 1, and region 2 is the home of
// namespace `default`, but for the prefix own/.
func newReceiver(t testing.TB) *world {
	t.Helper()
	w := newRegion(t)
	w.receives(t)
	return w
}

func (w *world) receives(t testing.TB) {
	t.Helper()
	for _, line := range []string{
		"peer 2 two", "peer 3 three", "link 2 9 1", "place 1 1 9 default - 2", "place 1 1 9 default own/ 1",
	} {
		w.ok(t, line)
	}
}

// ok applies a line that must succeed.
func (w *world) ok(t testing.TB, line string) record.Result {
	t.Helper()
	r := w.line(t, line)
	if r.Status != record.StatusOK {
		t.Fatalf("%s: %s", line, formatResult(r))
	}
	return r
}

// take applies operations that must succeed, and gives the commits.
func (w *world) take(t testing.TB, ops ...record.Op) (commits []record.Commit) {
	t.Helper()
	for _, op := range ops {
		out := w.ops(t, op)
		if r := out.Results[0]; r.Status != record.StatusOK {
			t.Fatalf("operation %d: %s", op.Type, formatResult(r))
		}
		commits = append(commits, out.Commits...)
	}
	checkFeed(t, w)
	return commits
}

// refused applies an operation that must be refused and change nothing.
func (w *world) refused(t testing.TB, op record.Op, want record.Status, text string) {
	t.Helper()
	before := w.hash(t)
	r := w.op(t, op)
	if r.Status != want || !strings.Contains(r.Detail, text) {
		t.Errorf("operation %d: %s; want %s with %q", op.Type, formatResult(r), statusNames[want], text)
	}
	if op.Type != record.OpTxn && op.Type != record.OpHeal && !bytes.Equal(before, w.hash(t)) {
		t.Errorf("operation %d was refused and changed the state", op.Type)
	}
}

// connected makes a receiver that follows a channel of region 2 from its beginning.
func connected(t testing.TB, class record.Class) (*world, *source) {
	t.Helper()
	w, s := newReceiver(t), newSource(2, uint32(class))
	w.take(t, s.snapshot()...)
	return w, s
}

func (w *world) feedState(t testing.TB, region uint64, channel uint32) (alias uint32, s record.FeedState) {
	t.Helper()
	alias, _, _, err := state.FindRegion(w.kv, regionID(region))
	if err != nil {
		t.Fatal(err)
	}
	if s, _, err = state.FeedStateOf(w.kv, alias, channel); err != nil {
		t.Fatal(err)
	}
	return alias, s
}

// walkAll takes steps until no walk is under way, and gives how many it took.
func (w *world) walkAll(t testing.TB, limit uint32) (steps int) {
	t.Helper()
	regions, err := state.Regions(w.kv)
	if err != nil {
		t.Fatal(err)
	}
	for i, g := range regions {
		err := state.EachFeedState(w.kv, uint32(i)+1, func(channel uint32, s *record.FeedState) error {
			for s.Walking {
				op := record.Op{Type: record.OpWalk, Walk: &record.Walk{RegionID: g.ID, Channel: channel, Step: s.Step, From: s.Next, Limit: limit}}
				if r := w.op(t, op); r.Status != record.StatusOK {
					t.Fatalf("walk: %s", formatResult(r))
				}
				if steps++; steps > 10000 {
					t.Fatal("a walk does not end")
				}
				*s, _, err = state.FeedStateOf(w.kv, uint32(i)+1, channel)
			}
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	return steps
}

// shown gives the value of a record, in the words of the scripts with a scope behind @; "" if there is none.
func (w *world) shown(t testing.TB, name string, scope uint32) string {
	t.Helper()
	k := key(name)
	if k.Scope != record.ScopePlaced || k.Shard == record.ShardSystem {
		k.Scope = scope
	}
	rec, _, err := state.Get(w.kv, k, 0)
	if err != nil {
		t.Fatal(err)
	}
	return string(rec.Value)
}

// importedRow gives the row of an imported record of region 2.
func (w *world) importedRow(t testing.TB, channel uint32, wire []byte) (record.Imported, bool) {
	t.Helper()
	b, found, err := w.kv.Get(record.AppendImportedKey(nil, 2, channel, wire))
	if err != nil || !found {
		return record.Imported{}, false
	}
	row, err := record.DecodeImported(b)
	if err != nil {
		t.Fatal(err)
	}
	return row, true
}

func (w *world) quarantine(t testing.TB, channel uint32, name string, want record.Quarantine) {
	t.Helper()
	row, found := w.importedRow(t, channel, wireKey(name))
	if !found || row.Quarantine != want || row.Shown != (want == record.QuarantineNone) {
		t.Errorf("%s: %+v, %v; want quarantine %d", name, row, found, want)
	}
}

// checkFeed compares everything that is kept of channels with the rows themselves.
func checkFeed(t testing.TB, w *world) {
	t.Helper()
	regions, err := state.Regions(w.kv)
	if err != nil {
		t.Fatal(err)
	}
	shown := map[record.Key][]record.FeedEntry{}
	for i := range regions {
		alias := uint32(i) + 1
		if err := state.EachFeedState(w.kv, alias, func(channel uint32, s *record.FeedState) error {
			checkLog(t, w, alias, channel, s)
			checkContent(t, w, alias, channel, s, shown)
			return nil
		}); err != nil {
			t.Fatal(err)
		}
	}
	each(t, w, record.SpaceVersions, func(b, value []byte) {
		k, _, err := record.DecodeVersionKey(b)
		if err != nil {
			t.Fatal(err)
		}
		rec, found, err := state.Get(w.kv, k, 0)
		if err != nil || found && rec.Origin != (record.Origin{}) && !slices.ContainsFunc(shown[k], func(e record.FeedEntry) bool { return shows(&rec, &e) }) {
			t.Fatalf("%s is not what a channel carries: %+v (%v)", formatRecord(rec), shown[k], err)
		}
	})
}

// shows reports whether a record is what its home said it is.
func shows(rec *record.Record, e *record.FeedEntry) bool {
	return string(rec.Value) == string(e.Value) && rec.Version == e.Version && rec.Origin.HomeRevision == e.Revision && rec.Origin.OwnerEpoch == e.OwnerEpoch
}

func each(t testing.TB, w *world, space record.Space, fn func(key, value []byte)) {
	t.Helper()
	it, err := w.kv.Scan([]byte{space}, []byte{space + 1}, false)
	if err != nil {
		t.Fatal(err)
	}
	for it.Next() {
		fn(it.Key(), it.Value())
	}
	if err := it.Close(); err != nil {
		t.Fatal(err)
	}
}

func checkLog(t testing.TB, w *world, alias, channel uint32, s *record.FeedState) {
	t.Helper()
	var size uint64
	chain, next := s.FloorChain, s.FloorSequence+1
	prefix := record.AppendFeedLogKey(nil, alias, channel, 0)
	prefix = prefix[:len(prefix)-8]
	each(t, w, record.SpaceFeedLog, func(b, value []byte) {
		sequence, err := record.DecodeFeedLogKey(b)
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.HasPrefix(b, prefix) || sequence <= s.FloorSequence || sequence > s.Position.Sequence {
			return // of another channel, or left by an earlier incarnation
		}
		row, err := record.DecodeFeedLogRow(value)
		if err != nil || sequence != next {
			t.Fatalf("channel %d of %d lacks sequence %d: %v", channel, alias, next, err)
		}
		if chain, next = record.ChainNext(chain, row.Record), next+1; chain != row.Chain {
			t.Fatalf("channel %d of %d: the chain breaks at %d", channel, alias, sequence)
		}
		size += uint64(len(b) + len(value))
	})
	if next != s.Position.Sequence+1 || chain != s.Position.Chain {
		t.Fatalf("channel %d of %d: the log ends at %d, not at %d", channel, alias, next-1, s.Position.Sequence)
	}
	if size != s.LogBytes {
		t.Fatalf("channel %d of %d: the log has %d bytes; the sum says %d", channel, alias, size, s.LogBytes)
	}
}

func checkContent(t testing.TB, w *world, alias, channel uint32, s *record.FeedState, shown map[record.Key][]record.FeedEntry) {
	t.Helper()
	items, _, err := state.FeedContent(w.kv, alias, channel, nil, 1<<30)
	if err != nil {
		t.Fatal(err)
	}
	var digest record.Digest
	quarantined := uint64(0)
	for _, it := range items {
		digest.Add(record.Element(it.Key, it.Entry))
		if alias == state.AliasSelf {
			continue
		}
		b, _, _ := w.kv.Get(record.AppendImportedKey(nil, alias, channel, it.Key))
		row, err := record.DecodeImported(b)
		if err != nil {
			t.Fatal(err)
		}
		if row.Quarantine != record.QuarantineNone {
			quarantined++
		}
		if row.Shown {
			checkShown(t, w, alias, it, &row, shown)
		}
	}
	if digest != s.Digest || uint64(len(items)) != s.Records || quarantined != s.Quarantined {
		t.Fatalf("channel %d of %d: %d records, %d quarantined, digest %x; the sums say %d, %d, %x", channel, alias, len(items), quarantined,
			digest[:4], s.Records, s.Quarantined, s.Digest[:4])
	}
}

// checkShown checks that a record which is said to be shown is there. A placed one may have given way to one of this region
// whose home was here for a while.
func checkShown(t testing.TB, w *world, alias uint32, it record.FeedItem, row *record.Imported, shown map[record.Key][]record.FeedEntry) {
	t.Helper()
	k, err := record.DecodeFeedKey(it.Key)
	if err != nil || row.Quarantine != record.QuarantineNone {
		t.Fatalf("%x is shown, quarantine %d: %v", it.Key, row.Quarantine, err)
	}
	e, err := record.DecodeFeedEntry(it.Entry)
	if err != nil {
		t.Fatal(err)
	}
	shard, _ := k.Kind.Shard()
	local := record.Key{Shard: shard, Tenant: row.Tenant, Namespace: row.Namespace, Kind: k.Kind, Name: k.Name}
	if k.Regional {
		local.Scope = alias
	}
	shown[local] = append(shown[local], e)
	if _, found, err := state.Get(w.kv, local, 0); err != nil || !found && k.Regional {
		t.Fatalf("%q is said to be shown and is not: %v", k.Name, err)
	}
}
