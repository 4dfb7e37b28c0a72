package xds

import (
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"

	"google.golang.org/grpc/mem"

	"supercluster/xds/resources"
)

// world is what is published, and who wants to hear of it. Everything below it is guarded by mu: the publisher and
// subscriptions write under Lock; streams compose under RLock, so that what they read belongs together, and touch
// nothing but their own marks.
type world struct {
	mu sync.RWMutex
	// seq counts publications; marks carry it, so that a stream knows what an acknowledgement covers.
	seq uint64
}

// encoded is a resource as responses carry it.
type encoded struct {
	version uint64
	delta   mem.Buffer
	sotw    mem.Buffer
}

func encodedOf(r *resources.Resource) *encoded {
	return &encoded{version: r.Version, delta: mem.SliceBuffer(r.Delta), sotw: mem.SliceBuffer(r.SotW)}
}

// entry is a name of a type: what is published under it, and the streams that asked for it. It is there as long
// as one or the other is.
type entry struct {
	name string
	// id stands for the entry in the sets of subscriptions, which are large; 0: it is in no table.
	id uint32
	// res are the newest bytes. They outlive the resource: a stream that must keep it a little longer sends them
	// again. Nil: nothing was ever published, which for endpoints cannot be.
	res    *encoded
	exists bool
	subs   []*watch
	scopes []*scope
}

// space is the resources of one tenant for one kind of client.
type space struct {
	tables [resources.Types]table
}

func newSpace() *space {
	sp := &space{}
	for t := range sp.tables {
		sp.tables[t] = table{entries: map[string]*entry{}, byID: make([]*entry, 1)}
	}
	return sp
}

// table is the resources of one type.
type table struct {
	entries map[string]*entry
	byID    []*entry
	free    []uint32 // ids that nobody has
	// hash changes when any resource does, and is the same on every server that holds the same ones.
	hash uint64
}

// entryFor finds a name for a subscriber or makes an entry for it. A missing assignment is an explicit empty one.
func (sp *space) entryFor(t resources.Type, name string) (*entry, error) {
	table := &sp.tables[t]
	if e := table.entries[name]; e != nil {
		return e, nil
	}
	e := &entry{name: name}
	if t == resources.Endpoint {
		none, err := resources.NoEndpoints(name)
		if err != nil {
			return nil, err
		}
		e.res = encodedOf(none)
	}
	table.insert(e)
	return e, nil
}

func (t *table) insert(e *entry) {
	if last := len(t.free) - 1; last >= 0 {
		e.id, t.free = t.free[last], t.free[:last]
		t.byID[e.id] = e
	} else {
		e.id = uint32(len(t.byID))
		t.byID = append(t.byID, e)
	}
	t.entries[e.name] = e
}

func (t *table) remove(e *entry) {
	delete(t.entries, e.name)
	t.byID[e.id] = nil
	t.free = append(t.free, e.id)
	e.id = 0
}

// forget drops an entry that nobody needs.
func (sp *space) forget(t resources.Type, e *entry) {
	if !e.exists && len(e.subs) == 0 && e.id != 0 {
		sp.tables[t].remove(e)
	}
}

// scope is what a wildcard stands for: resources of one type, for the clients of one audience.
type scope struct {
	members  []*entry // by name
	watchers map[*watch]struct{}
}

func newScope() *scope { return &scope{watchers: map[*watch]struct{}{}} }

func (s *scope) find(name string) (int, bool) {
	return slices.BinarySearchFunc(s.members, name, func(e *entry, name string) int {
		return strings.Compare(e.name, name)
	})
}

func (s *scope) has(e *entry) bool {
	at, ok := s.find(e.name)
	return ok && s.members[at] == e
}

// batch is what one publication changes in a space: puts, then drops, then members, all at once for every stream.
type batch struct {
	puts    []put
	drops   []drop
	members []membership
}

type put struct {
	kind resources.Type
	res  *resources.Resource
}

type drop struct {
	kind resources.Type
	name string
}

// membership sets the members of a scope, given sorted.
type membership struct {
	kind  resources.Type
	scope *scope
	names []string
}

// add takes in a later batch of the same space.
func (b *batch) add(o batch) {
	b.puts, b.drops, b.members = append(b.puts, o.puts...), append(b.drops, o.drops...), append(b.members, o.members...)
}

func (b *batch) empty() bool { return len(b.puts)+len(b.members)+len(b.drops) == 0 }

// publication is a batch in the making: which streams it touches.
type publication struct {
	world   *world
	space   *space
	touched []*session
}

// publish changes a space and marks what changed in the streams that want it, then has those send it.
// It reports how many resources changed.
func (w *world) publish(sp *space, b batch) int {
	if b.empty() {
		return 0
	}
	p := publication{world: w, space: sp}
	w.mu.Lock()
	w.seq++
	changed := 0
	for _, put := range b.puts {
		if p.put(put) {
			changed++
		}
	}
	for _, d := range b.drops {
		if p.drop(d) {
			changed++
		}
	}
	for _, m := range b.members {
		p.member(m)
	}
	w.mu.Unlock()
	deliver(p.touched)
	return changed
}

// severalCores is from how many streams on a delivery is worth more than one goroutine.
const severalCores = 64

// deliver has every session send what is due. The publisher does so itself, on all cores, instead of waking a
// goroutine for each stream: that alone would cost as much as composing. No send of it ever blocks.
func deliver(sessions []*session) {
	onCores(len(sessions), severalCores, func(n int) { sessions[n].push() })
}

// onCores does n things: one after the other, or on all cores if there are many.
func onCores(n, many int, do func(n int)) {
	if n < many {
		for i := range n {
			do(i)
		}
		return
	}
	var next atomic.Int64
	var workers sync.WaitGroup
	for range runtime.GOMAXPROCS(0) {
		workers.Go(func() {
			for i := next.Add(1) - 1; i < int64(n); i = next.Add(1) - 1 {
				do(int(i))
			}
		})
	}
	workers.Wait()
}

func (p *publication) put(put put) bool {
	table := &p.space.tables[put.kind]
	e := table.entries[put.res.Name]
	switch {
	case e == nil:
		e = &entry{name: put.res.Name}
		table.insert(e)
	case e.exists && e.res.version == put.res.Version:
		return false
	case e.exists:
		table.hash -= weigh(e)
	}
	e.res, e.exists = encodedOf(put.res), true
	table.hash += weigh(e)
	for _, w := range e.subs {
		p.mark(w, e)
	}
	for _, s := range e.scopes {
		for w := range s.watchers {
			p.mark(w, e)
		}
	}
	return true
}

// member takes a scope to its new members.
func (p *publication) member(m membership) {
	table := &p.space.tables[m.kind]
	next := make([]*entry, 0, len(m.names))
	for _, name := range m.names {
		if e := table.entries[name]; e != nil && e.exists {
			next = append(next, e)
		}
	}
	old := m.scope.members
	m.scope.members = next
	for len(old)+len(next) > 0 {
		switch {
		case len(next) == 0 || (len(old) > 0 && old[0].name < next[0].name):
			p.leave(m.kind, m.scope, old[0])
			old = old[1:]
		case len(old) == 0 || next[0].name < old[0].name:
			p.join(m.scope, next[0])
			next = next[1:]
		default:
			old, next = old[1:], next[1:]
		}
	}
}

func (p *publication) join(s *scope, e *entry) {
	e.scopes = append(e.scopes, s)
	for w := range s.watchers {
		p.mark(w, e)
	}
}

// leave takes an entry out of a scope. Endpoints are never removed from a client: when their cluster goes, they
// follow by themselves.
func (p *publication) leave(t resources.Type, s *scope, e *entry) {
	if at := slices.Index(e.scopes, s); at >= 0 {
		e.scopes = slices.Delete(e.scopes, at, at+1)
	}
	if t == resources.Endpoint {
		return
	}
	for w := range s.watchers {
		p.markGone(w, e)
	}
}

func (p *publication) drop(d drop) bool {
	table := &p.space.tables[d.kind]
	e := table.entries[d.name]
	if e == nil || !e.exists {
		return false
	}
	table.hash -= weigh(e)
	e.exists = false
	if d.kind == resources.Endpoint {
		p.empty(e)
	} else {
		for _, w := range e.subs {
			p.markGone(w, e)
		}
	}
	for _, s := range slices.Clone(e.scopes) {
		if at, ok := s.find(e.name); ok && s.members[at] == e {
			s.members = slices.Delete(s.members, at, at+1)
		}
		p.leave(d.kind, s, e)
	}
	p.space.forget(d.kind, e)
	return true
}

// empty replaces endpoints that are gone by an explicit empty assignment.
func (p *publication) empty(e *entry) {
	none, err := resources.NoEndpoints(e.name)
	if err != nil {
		return
	}
	e.res = encodedOf(none)
	for _, w := range e.subs {
		p.mark(w, e)
	}
	for _, s := range e.scopes {
		for w := range s.watchers {
			p.mark(w, e)
		}
	}
}

func (p *publication) mark(w *watch, e *entry) {
	w.dirty.add(e)
	w.dirtySeq = p.world.seq
	p.touch(w.session)
}

func (p *publication) markGone(w *watch, e *entry) {
	w.gone.add(e)
	w.goneSeq = p.world.seq
	p.touch(w.session)
}

func (p *publication) touch(s *session) {
	if s.touched != p.world.seq {
		s.touched = p.world.seq
		p.touched = append(p.touched, s)
	}
}

// weigh gives an entry's share of its table's hash.
func weigh(e *entry) uint64 {
	h := uint64(14695981039346656037) // FNV-1a over the name, then mixed with the version
	for i := range len(e.name) {
		h = (h ^ uint64(e.name[i])) * 1099511628211
	}
	h ^= e.res.version
	h ^= h >> 33
	h *= 0xff51afd7ed558ccd
	h ^= h >> 33
	return h
}
