package feed

import (
	"bytes"
	"crypto/sha256"
	"fmt"
	"math/rand/v2"
	"testing"

	"supercluster/region/record"
	"supercluster/region/state"
)

// The model: several regions with the real machine on its in-memory twin, and a network that loses, doubles and
// reorders. It has the rules of the model that the design was proved with, on our code.

const (
	modelRegions = 4
	modelKeys    = 10
)

// rules takes rules out of every region.
type rules struct {
	machine state.Without
	peer    without
}

// node is one running copy of a region.
type node struct {
	id      [16]byte
	kv      *state.Memory
	index   uint64
	started int64
}

func regionID(n int) [16]byte { return [16]byte{byte(n + 1)} }

// fakeSign stands for a signature: cheap, and of no other region.
func fakeSign(region [16]byte, message []byte) (sig [64]byte) {
	h := sha256.New()
	h.Write([]byte("key of"))
	h.Write(region[:])
	h.Write(message)
	h.Sum(sig[:0])
	return sig
}

func fakeKeys(region [16]byte, message []byte, sig [64]byte) bool {
	return fakeSign(region, message) == sig
}

type envelope struct {
	from, to int // nodes
	message  []byte
}

type session struct{ from, to int }

type exporterKey struct {
	server, peer int
	region       [16]byte
	channel      uint32
}

type model struct {
	t         testing.TB
	r         *rand.Rand
	rules     rules
	now       int64
	nodes     []*node // the first modelRegions are the regions; later ones are clones
	net       []envelope
	cut       map[session]bool
	exporters map[exporterKey]*Exporter
	importers map[exporterKey]*Importer // server: who serves
	backups   map[int]*node
	tails     map[exporterKey]*Tail // as it was looked at last; a restored node begins without
	// latest is how far each receiver got with each channel, to see that nobody goes back.
	stats     map[string]int
	backwards int
	forged    int // forged records that were taken over
	// touched are the regions of which a copy was restored or cloned, and untouched counts how often another one fenced itself.
	touched   map[[16]byte]bool
	untouched int
	forging   bool
}

func newModel(t testing.TB, seed uint64, w rules) *model {
	m := &model{
		t: t, r: rand.New(rand.NewPCG(seed, 7)), rules: w, now: 1, cut: map[session]bool{}, stats: map[string]int{},
		exporters: map[exporterKey]*Exporter{}, importers: map[exporterKey]*Importer{}, backups: map[int]*node{}, tails: map[exporterKey]*Tail{},
		touched: map[[16]byte]bool{},
	}
	for n := range modelRegions {
		m.nodes = append(m.nodes, &node{id: regionID(n), kv: state.NewMemory(), started: 1})
	}
	for n := range m.nodes {
		m.setUp(n)
	}
	return m
}

func (m *model) setUp(n int) {
	self := regionID(n)
	m.apply(n, record.Op{Type: record.OpIdentity, Identity: &record.Identity{RegionID: self, Name: fmt.Sprintf("dc%d", n+1)}})
	for p := range modelRegions {
		if p != n {
			m.apply(n, record.Op{Type: record.OpPeer, Peer: &record.Peer{RegionID: regionID(p), Value: []byte("peer")}})
			m.apply(n, record.Op{Type: record.OpLink, Link: &record.Link{RegionID: regionID(p), Remote: [16]byte{0xee}, Tenant: 1}})
		}
	}
	for _, c := range []record.Class{record.ClassEndpoints, record.ClassConfig} {
		m.apply(n, record.Op{Type: record.OpSetChannel, SetChannel: &record.SetChannel{Channel: record.Channel{
			Name: "all", Class: c, Projection: record.ProjectionFull,
		}}})
	}
	m.apply(n, record.Op{Type: record.OpPlace, Place: &record.Place{
		Tenant: 1, Namespace: 1, UID: [16]byte{0xee}, Name: "default", Home: regionID(0), Value: []byte("home"),
	}})
}

// apply sends an operation through its encoding, as the log does.
func (m *model) apply(n int, op record.Op) record.Result {
	m.t.Helper()
	node := m.nodes[n]
	ops := []record.Op{op}
	b, err := record.AppendEntry(nil, &record.Entry{Level: record.LevelNeeded(ops), Time: m.now, Ops: ops})
	if err != nil {
		m.t.Fatal(err)
	}
	e, err := record.DecodeEntry(b)
	if err != nil {
		m.t.Fatal(err)
	}
	node.index++
	out, err := state.ApplyWithout(node.kv, node.index, e, m.rules.machine)
	if err != nil {
		m.t.Fatal(err)
	}
	return out.Results[0]
}

func (m *model) server(n int) *Server {
	id := m.nodes[n].id
	return &Server{Self: id, Sign: func(b []byte) [64]byte { return fakeSign(id, b) }}
}

func (m *model) write(n int) {
	key := record.Key{
		Shard: record.ShardData, Tenant: 1, Namespace: 1, Kind: record.KindInstance, Scope: record.ScopeRegion,
		Name: fmt.Sprintf("web/%d", m.r.IntN(modelKeys)),
	}
	if n%modelRegions == 0 && m.r.IntN(3) == 0 {
		key.Kind, key.Scope, key.Name = record.KindConfig, record.ScopePlaced, fmt.Sprintf("k%d", m.r.IntN(modelKeys))
	}
	op := record.TxnOp{Type: record.TxnPut, Key: key, Value: fmt.Append(nil, m.r.IntN(1e6))}
	if m.r.IntN(10) < 3 {
		op = record.TxnOp{Type: record.TxnDelete, Key: key}
	}
	m.apply(n, record.Op{Type: record.OpTxn, Tenant: 1, Txn: &record.Txn{Shard: record.ShardData, Then: []record.TxnOp{op}}})
}

// pull begins, or begins again, to take a channel of region s over at node d from node via.
func (m *model) pull(d, s, via int) {
	if m.nodes[via].id == m.nodes[d].id || m.nodes[d].id == regionID(s) || m.cut[link(d, via)] {
		return
	}
	channel := uint32(1 + m.r.IntN(2))
	i := &Importer{Self: m.nodes[d].id, Region: regionID(s), Channel: channel, Keys: fakeKeys, without: m.rules.peer}
	msg, err := i.Pull(m.nodes[d].kv, m.now, 4096)
	if err != nil {
		m.t.Fatal(err)
	}
	m.importers[exporterKey{server: via, peer: d, region: regionID(s), channel: channel}] = i
	m.send(d, via, msg)
}

func link(a, b int) session { return session{min(a, b), max(a, b)} }

func (m *model) send(from, to int, msg *Message) {
	m.net = append(m.net, envelope{from, to, Append(nil, msg)})
}

// deliver hands out one message of the net, in any order, sometimes twice.
func (m *model) deliver(again int) {
	if len(m.net) == 0 {
		return
	}
	at := m.r.IntN(len(m.net))
	e := m.net[at]
	if m.r.IntN(100) >= again {
		m.net[at] = m.net[len(m.net)-1]
		m.net = m.net[:len(m.net)-1]
	}
	if e.to >= len(m.nodes) || e.from >= len(m.nodes) || m.r.IntN(100) < 3 && again > 0 {
		return
	}
	msg, err := Decode(e.message)
	if err != nil {
		m.t.Fatal(err)
	}
	if msg.Type == TypePull {
		m.serve(e.from, e.to, &msg)
		return
	}
	m.take(e.from, e.to, &msg)
}

func (m *model) serve(peer, n int, msg *Message) {
	m.judge(n, msg.Pull.Head)
	kv := m.nodes[n].kv
	snapshot := func() (state.Reader, func()) { return kv.Snapshot(), func() {} }
	e, refused, err := m.server(n).Open(kv, m.nodes[peer].id, msg.Pull, snapshot)
	if err != nil {
		m.t.Fatal(err)
	}
	if refused != nil {
		m.stats["refused "+refused.Refuse.Reason.String()]++
		m.send(n, peer, refused)
		return
	}
	m.exporters[exporterKey{server: n, peer: peer, region: msg.Region, channel: msg.Channel}] = e
	m.push(exporterKey{server: n, peer: peer, region: msg.Region, channel: msg.Channel})
}

// push lets an exporter say what it has to say.
func (m *model) push(k exporterKey) {
	e := m.exporters[k]
	if e == nil || m.cut[link(k.server, k.peer)] {
		return
	}
	kv := m.nodes[k.server].kv
	for range 3 {
		if done, ok := m.pushTail(k, e); done {
			if !ok {
				return
			}
			continue
		}
		msg, err := e.Next(kv, m.now, 0, func() (state.Reader, func()) { return kv.Snapshot(), func() {} })
		if err != nil {
			m.t.Fatal(err)
		}
		if msg == nil {
			return
		}
		if m.forging && k.region != m.nodes[k.server].id && m.r.IntN(4) == 0 {
			forge(msg, m.r)
		}
		m.send(k.server, k.peer, msg)
		if msg.Type == TypeRefuse {
			delete(m.exporters, k)
			return
		}
	}
}

// pushTail has an exporter send from the shared tail of its channel, as it stood at some moment; done is false if only the
// store can tell, and ok whether something was sent.
func (m *model) pushTail(k exporterKey, e *Exporter) (done, ok bool) {
	at := exporterKey{server: k.server, region: k.region, channel: k.channel}
	if m.r.IntN(3) > 0 {
		t, err := m.server(k.server).Tail(m.nodes[k.server].kv, k.region, k.channel, m.tails[at], m.now)
		if err != nil {
			m.t.Fatal(err)
		}
		m.tails[at] = t
	}
	msg, done := e.NextFrom(m.tails[at])
	if msg == nil {
		return done, false
	}
	m.stats["from a tail"]++
	m.send(k.server, k.peer, msg)
	return true, true
}

// forgedName is the name of a record that no region ever wrote.
const forgedName = "forged/1"

// forge is what a hostile relay does to a message: other records, or a head that it made up.
func forge(msg *Message, r *rand.Rand) {
	switch {
	case msg.Batch != nil && r.IntN(2) == 0: // all but the signature fits
		head, _ := record.DecodeFeedHead(msg.Batch.Head)
		key := record.AppendFeedKey(nil, &record.FeedKey{Tenant: [16]byte{0xee}, Namespace: "default", Kind: record.KindInstance, Regional: true, Name: forgedName})
		entry := record.AppendFeedEntry(nil, &record.FeedEntry{Version: uint64(r.IntN(1000))})
		head.Position.Sequence++
		rec := record.AppendFeedRecord(nil, &record.FeedRecord{
			Sequence: head.Position.Sequence, Changes: []record.FeedChange{{Op: record.FeedPut, Key: key, Entry: entry}},
		})
		head.Position.Chain = record.ChainNext(head.Position.Chain, rec)
		head.Digest.Add(record.Element(key, entry))
		msg.Batch.Records = append(msg.Batch.Records, rec)
		msg.Batch.Head = record.AppendFeedHead(nil, &head)
	case msg.Batch != nil:
		head, _ := record.DecodeFeedHead(msg.Batch.Head)
		head.Position.Sequence += 1000
		head.Position.Incarnation += uint64(r.IntN(2))
		msg.Batch.Head = record.AppendFeedHead(nil, &head)
	case msg.Chunk != nil:
		head, _ := record.DecodeFeedHead(msg.Chunk.Target)
		head.Position.Incarnation += 1000
		if len(msg.Chunk.Items) > 0 {
			msg.Chunk.Items = msg.Chunk.Items[1:]
		}
		head.Digest = record.Digest{}
		for i := range msg.Chunk.Items {
			head.Digest.Add(record.Element(msg.Chunk.Items[i].Key, msg.Chunk.Items[i].Entry))
		}
		msg.Chunk.Target = record.AppendFeedHead(nil, &head)
	}
}

// judge shows a node a head that may be its own.
func (m *model) judge(n int, head []byte) {
	g := Guard{Self: m.nodes[n].id, Keys: fakeKeys, Started: m.nodes[n].started, without: m.rules.peer}
	op, err := g.Judge(m.nodes[n].kv, head)
	if err != nil {
		m.t.Fatal(err)
	}
	if op == nil {
		return
	}
	if r := m.apply(n, *op); r.Status != record.StatusOK {
		return
	}
	m.stats[fmt.Sprintf("fence %d", op.SetFence.Fence)]++
	if !m.touched[m.nodes[n].id] {
		m.untouched++
	}
}

func (m *model) take(server, n int, msg *Message) {
	i := m.importers[exporterKey{server: server, peer: n, region: msg.Region, channel: msg.Channel}]
	if i == nil {
		return
	}
	if msg.Refuse != nil && len(msg.Refuse.Head) > 0 {
		m.judge(n, msg.Refuse.Head)
	}
	op, err := i.Take(msg)
	if err != nil || op == nil {
		return
	}
	before := m.position(n, msg.Region, msg.Channel)
	r := m.apply(n, *op)
	after := m.position(n, msg.Region, msg.Channel)
	if before.After(after) {
		m.backwards++
	}
	m.stats[fmt.Sprintf("%d %d", op.Type, r.Status)]++
	if r.Status == record.StatusOK && bytes.Contains(Append(nil, msg), []byte(forgedName)) {
		m.forged++
	}
}

func (m *model) position(n int, region [16]byte, channel uint32) record.FeedPosition {
	alias, _, _, err := state.FindRegion(m.nodes[n].kv, region)
	if err != nil {
		m.t.Fatal(err)
	}
	s, _, err := state.FeedStateOf(m.nodes[n].kv, alias, channel)
	if err != nil {
		m.t.Fatal(err)
	}
	return s.Position
}

// heal ends a fence, as the leader does when it has asked its peers.
func (m *model) heal(n int) {
	f, _, err := state.ReadFederation(m.nodes[n].kv)
	if err != nil {
		m.t.Fatal(err)
	}
	if f.Fence == record.FenceHealing {
		m.apply(n, record.Op{Type: record.OpMint, Mint: &record.Mint{Incarnation: f.Incarnation, Seen: f.Seen}})
	}
}

// walk takes one step of every walk that is under way.
func (m *model) walk(n, limit int) {
	for alias := uint32(1); alias <= modelRegions; alias++ {
		err := state.EachFeedState(m.nodes[n].kv, alias, func(channel uint32, s *record.FeedState) error {
			if !s.Walking {
				return nil
			}
			regions, err := state.Regions(m.nodes[n].kv)
			if err != nil {
				return err
			}
			m.apply(n, record.Op{Type: record.OpWalk, Walk: &record.Walk{
				RegionID: regions[alias-1].ID, Channel: channel, Step: s.Step, From: s.Next, Limit: uint32(limit),
			}})
			return nil
		})
		if err != nil {
			m.t.Fatal(err)
		}
	}
}

// selectors changes what a region exports, or what it shows of another.
func (m *model) selectors(n int) {
	var s record.Selector
	for range m.r.IntN(4) {
		s = append(s, record.Term{Name: fmt.Sprintf("web/%d", m.r.IntN(modelKeys)), Exact: true})
	}
	if m.r.IntN(2) == 0 {
		m.apply(n, record.Op{Type: record.OpTake, Take: &record.Take{RegionID: regionID(m.r.IntN(modelRegions)), Selector: s}})
		return
	}
	m.apply(n, record.Op{Type: record.OpSetChannel, SetChannel: &record.SetChannel{Channel: record.Channel{
		ID: 1, Name: "all", Projection: record.ProjectionFull, Selector: s, Class: record.ClassEndpoints,
	}}})
}

func (m *model) trim(n int) {
	alias, channel := uint32(1+m.r.IntN(modelRegions)), uint32(1+m.r.IntN(2))
	s, found, err := state.FeedStateOf(m.nodes[n].kv, alias, channel)
	if err != nil {
		m.t.Fatal(err)
	}
	if !found || s.Position.Sequence == 0 {
		return
	}
	regions, err := state.Regions(m.nodes[n].kv)
	if err != nil {
		m.t.Fatal(err)
	}
	keep := min(uint64(m.r.IntN(20)), s.Position.Sequence)
	m.apply(n, record.Op{Type: record.OpTrimFeed, TrimFeed: &record.TrimFeed{
		RegionID: regions[alias-1].ID, Channel: channel, Through: s.Position.Sequence - keep,
	}})
}

func (m *model) copyOf(n int) *node {
	return &node{id: m.nodes[n].id, kv: m.nodes[n].kv.Snapshot(), index: m.nodes[n].index}
}

// restore puts an old backup back; marked: the operator says so, and it begins as a new incarnation.
func (m *model) restore(n int, marked bool) {
	b := m.backups[n]
	if b == nil {
		return
	}
	m.nodes[n] = &node{id: b.id, kv: b.kv.Snapshot(), index: b.index, started: m.now}
	for k := range m.exporters {
		if k.server == n {
			delete(m.exporters, k)
		}
	}
	for k := range m.tails {
		if k.server == n {
			delete(m.tails, k)
		}
	}
	for k := range m.importers {
		if k.peer == n {
			delete(m.importers, k)
		}
	}
	m.stats["restored"]++
	m.touched[b.id] = true
	if m.fenceOf(n) == record.FenceClone {
		m.stats["restored as stopped"]++
	}
	if !marked {
		return
	}
	f, _, err := state.ReadFederation(m.nodes[n].kv)
	if err != nil {
		m.t.Fatal(err)
	}
	seen := f.Seen
	for p := range m.nodes { // whoever restores asks the peers for what they have seen
		for c := uint32(1); c <= 2; c++ {
			seen = max(seen, m.position(p, b.id, c).Incarnation)
		}
	}
	m.apply(n, record.Op{Type: record.OpMint, Mint: &record.Mint{Incarnation: f.Incarnation, Seen: seen, Operator: true}})
}

// plan is what a run does.
type plan struct {
	steps    int
	restores bool
	clones   bool
	forging  bool
}

// run makes the steps of a plan. Two living copies find each other, and one stops, only when heads go back and forth a few
// times; so that there is more to come after that, writes, restores and forged heads, everybody reaches everybody half-way.
func (m *model) run(p plan) {
	for n := range p.steps {
		if p.clones && n == p.steps/2 {
			m.settle()
			m.stats["stopped half-way"] = m.stats["fence 2"]
		}
		m.forging = p.forging
		m.step(p)
	}
}

func (m *model) step(p plan) {
	m.now++
	n := m.r.IntN(len(m.nodes))
	switch a := m.r.IntN(1000); {
	case a < 300:
		m.write(n)
	case a < 480:
		via := m.r.IntN(len(m.nodes))
		m.pull(n, m.r.IntN(modelRegions), via)
	case a < 560:
		for k := range m.sorted() {
			m.push(k)
			break
		}
	case a < 820:
		m.deliver(15)
	case a < 850:
		m.trim(n)
	case a < 870:
		l := link(n, m.r.IntN(len(m.nodes)))
		m.cut[l] = !m.cut[l] && l.from != l.to
	case a < 900:
		m.walk(n, 1+m.r.IntN(5))
	case a < 920:
		m.selectors(n)
	case a < 950:
		m.heal(n)
	case a < 975:
		if n < modelRegions {
			m.backups[n] = m.copyOf(n)
		}
	case a < 990:
		if p.restores && n < modelRegions {
			m.restore(n, m.r.IntN(2) == 0)
		}
	default:
		if p.clones && len(m.nodes) == modelRegions {
			c := m.copyOf(n)
			c.started = m.now
			m.nodes = append(m.nodes, c)
			m.stats["cloned"]++
			m.touched[c.id] = true
		}
	}
}

// sorted gives one exporter, drawn; a map's own order would not be that of the seed.
func (m *model) sorted() map[exporterKey]struct{} {
	var keys []exporterKey
	for n := range m.nodes {
		for p := range m.nodes {
			for s := range modelRegions {
				for c := uint32(1); c <= 2; c++ {
					k := exporterKey{server: n, peer: p, region: regionID(s), channel: c}
					if m.exporters[k] != nil {
						keys = append(keys, k)
					}
				}
			}
		}
	}
	if len(keys) == 0 {
		return nil
	}
	return map[exporterKey]struct{}{keys[m.r.IntN(len(keys))]: {}}
}

// settle heals the network, and lets everybody pull until nothing moves; old messages still come in between. Once all of
// them came, two rounds in which everybody pulled and had the same are enough: only living clones go on and on.
func (m *model) settle() {
	clear(m.cut)
	m.forging = false
	for round, same := 0, 0; round < 40 && same < 2; round++ {
		m.now++
		for n := range m.nodes {
			m.walk(n, 1000)
			m.heal(n)
		}
		for d := range m.nodes {
			for s := range modelRegions {
				for via := range m.nodes {
					if m.nodes[via].id == regionID(s) || m.r.IntN(8) == 0 {
						m.pull(d, s, via)
					}
				}
			}
		}
		for range len(m.net) * (1 + round/10) / 2 {
			m.deliver(0)
		}
		if round > 10 {
			for len(m.net) > 0 {
				m.deliver(0)
			}
			same++
			if !m.quiet() {
				same = 0
			}
		}
	}
}

// quiet reports whether nothing is under way and nobody differs.
func (m *model) quiet() bool {
	stopped := 0
	for n := range m.nodes {
		switch m.fenceOf(n) {
		case record.FenceNone:
		case record.FenceClone:
			stopped++
		default:
			return false
		}
	}
	return stopped == len(m.nodes)-modelRegions && len(m.diverged()) == 0
}

// fenceOf is what holds a node back from exporting.
func (m *model) fenceOf(n int) record.Fence {
	f, _, err := state.ReadFederation(m.nodes[n].kv)
	if err != nil {
		m.t.Fatal(err)
	}
	return f.Fence
}

// diverged compares what every receiver has of every channel with what its home has.
func (m *model) diverged() (bad []string) {
	for d := range m.nodes {
		for region := range modelRegions {
			s := m.speaker(region)
			if s < 0 || m.nodes[d].id == regionID(region) {
				continue
			}
			for c := uint32(1); c <= 2; c++ {
				if why := m.compare(d, s, c); why != "" {
					bad = append(bad, fmt.Sprintf("dc%d has of channel %d of dc%d: %s", d+1, c, s+1, why))
				}
			}
		}
	}
	return bad
}

// speaker is the copy of a region that others go by: the one that did not stop. Of two that live, either: when nothing moves any
// more both have the same, or a receiver would have shown one what the other signed. -1: all have stopped (see halted); what
// others have of the region then is of either copy, the newest of none, and stays until an operator decides.
func (m *model) speaker(region int) int {
	for n := range m.nodes {
		if m.nodes[n].id == regionID(region) && m.fenceOf(n) != record.FenceClone {
			return n
		}
	}
	return -1
}

// halted names the regions all of whose copies stopped. That takes a restore of the one that lived into a time when it had
// stopped; of itself the last copy never stops.
func (m *model) halted() (bad []string) {
	for region := range modelRegions {
		if m.speaker(region) < 0 && m.stats["restored as stopped"] == 0 {
			bad = append(bad, fmt.Sprintf("every copy of dc%d stopped", region+1))
		}
	}
	return bad
}

// talking names the copies that stopped and export nevertheless.
func (m *model) talking() (bad []string) {
	for n := range m.nodes {
		if m.fenceOf(n) != record.FenceClone {
			continue
		}
		kv, pull := m.nodes[n].kv, &Pull{Region: m.nodes[n].id, Channel: 1}
		_, refused, err := m.server(n).Open(kv, [16]byte{0xff}, pull, func() (state.Reader, func()) { return kv, func() {} })
		if err != nil {
			m.t.Fatal(err)
		}
		if refused == nil || refused.Refuse.Reason != RefusedFenced {
			bad = append(bad, fmt.Sprintf("node %d stopped, and exports", n))
		}
	}
	return bad
}

func (m *model) compare(d, s int, channel uint32) string {
	alias, _, _, err := state.FindRegion(m.nodes[d].kv, m.nodes[s].id)
	if err != nil {
		m.t.Fatal(err)
	}
	want, _, err := state.FeedContent(m.nodes[s].kv, state.AliasSelf, channel, nil, 1<<30)
	if err != nil {
		m.t.Fatal(err)
	}
	got, _, err := state.FeedContent(m.nodes[d].kv, alias, channel, nil, 1<<30)
	if err != nil {
		m.t.Fatal(err)
	}
	if len(want) != len(got) {
		return fmt.Sprintf("%d records of %d (%+v of %+v)", len(got), len(want), m.position(d, m.nodes[s].id, channel), m.position(s, m.nodes[s].id, channel))
	}
	for i := range want {
		if !bytes.Equal(want[i].Key, got[i].Key) || !bytes.Equal(want[i].Entry, got[i].Entry) {
			return fmt.Sprintf("%q instead of %q", got[i].Entry, want[i].Entry)
		}
	}
	return m.shown(d, alias, s, channel, want)
}

// shown checks that what is shown of a channel is what it has and what is wanted of it, and nothing else.
func (m *model) shown(d int, alias uint32, s int, channel uint32, items []record.FeedItem) string {
	take, err := state.ImportSelector(m.nodes[d].kv, alias)
	if err != nil {
		m.t.Fatal(err)
	}
	want := map[string]string{}
	for _, it := range items {
		k, _ := record.DecodeFeedKey(it.Key)
		e, _ := record.DecodeFeedEntry(it.Entry)
		if take.Picks(&k) {
			want[k.Name] = string(e.Value)
		}
	}
	rng := record.Range{Shard: record.ShardData, Tenant: 1, Namespace: 1, Kind: record.KindInstance, Scope: alias}
	if channel == 2 {
		rng.Kind, rng.Scope = record.KindConfig, record.ScopePlaced
		if m.nodes[s].id != regionID(0) {
			return ""
		}
	}
	got, err := state.ReadRange(m.nodes[d].kv, rng, 0)
	if err != nil {
		m.t.Fatal(err)
	}
	if len(got.Records) != len(want) {
		return fmt.Sprintf("%d records shown, want %d", len(got.Records), len(want))
	}
	for i := range got.Records {
		r := &got.Records[i]
		if v, ok := want[r.Key.Name]; !ok || v != string(r.Value) || r.Origin.Home != m.nodes[s].id {
			return fmt.Sprintf("%q is shown as %q of %x", r.Key.Name, r.Value, r.Origin.Home)
		}
	}
	return ""
}
