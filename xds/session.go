package xds

import (
	"slices"
	"sync"
	"time"

	discoveryv3 "github.com/envoyproxy/go-control-plane/envoy/service/discovery/v3"

	"supercluster/internal/fault"
	"supercluster/xds/ir"
	"supercluster/xds/resources"
)

// session is one stream as a machine: requests in, responses out, no I/O. Its lock is taken before the world's.
type session struct {
	world   *world
	space   *space
	scopes  [resources.Types]*scope
	client  *client
	limits  *Limits
	stats   *stats
	control []byte // the field control_plane of every response
	delta   bool
	started time.Time
	signal  chan struct{}

	release func() // gives the audience back
	send    func() // sends what is due; nil when somebody asks for it

	touched uint64 // the last publication that marked something here; the publisher's, under the world's lock

	mu       sync.Mutex
	watches  [resources.Types]watch
	strange  []strangeReply
	names    int // subscribed, over all types
	inFlight int // bytes sent and not acknowledged
}

// strangeReply answers a request for a type that this server does not have.
type strangeReply struct {
	url   string
	names []string
}

// maxStrange bounds the answers of that kind that wait.
const maxStrange = 16

func newSession(p *publisher, a *audience, c *client, delta bool, limits *Limits, control []byte, now time.Time) *session {
	s := &session{
		world: p.world, stats: p.stats, space: a.space, scopes: a.scopes, client: c, delta: delta, limits: limits, control: control,
		release: a.release, started: now, signal: make(chan struct{}, 1),
	}
	for t := range s.watches {
		s.watches[t].session, s.watches[t].kind = s, resources.Type(t)
	}
	return s
}

// wake tells the stream that there may be something to send.
func (s *session) wake() {
	select {
	case s.signal <- struct{}{}:
	default:
	}
}

// push sends what is due now, without ever waiting for the client.
func (s *session) push() {
	if s.send != nil {
		s.send()
	}
}

// anyDue reports whether there may be something to send: after most acknowledgements there is nothing.
func (s *session) anyDue() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.world.mu.RLock()
	defer s.world.mu.RUnlock()
	due := len(s.strange) > 0
	for t := range s.watches {
		w := &s.watches[t]
		due = due || w.requested && !w.pending && (w.upserts() || !w.gone.empty())
	}
	return due
}

// close takes the session out of the world.
func (s *session) close() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.world.mu.Lock()
	defer s.world.mu.Unlock()
	for t := range s.watches {
		w := &s.watches[t]
		s.leaveWild(w)
		w.each(func(e *entry) {
			w.unsubscribe(e)
			s.space.forget(w.kind, e)
		})
	}
}

// answered takes what a request says about the response in flight. An old nonce says nothing.
func (s *session) answered(w *watch, nonce string, rejected bool, text string, now time.Time) {
	if !w.pending || !w.current(nonce) {
		return
	}
	s.inFlight -= w.pendingBytes
	if rejected {
		w.reject(text, now)
	} else {
		s.stats.acknowledged(now.Sub(w.sentAt))
		w.accept(now)
	}
}

// legacyWild reports whether a first request without names means everything: it does for clusters and listeners
// of an Envoy; a gRPC client that asks for nothing wants nothing.
func (s *session) legacyWild(t resources.Type) bool {
	return (t == resources.Cluster || t == resources.Listener) && s.client.role != ir.RoleGRPC
}

func (s *session) joinWild(w *watch) {
	w.wild, w.all, w.must = true, true, true
	w.dirtySeq = s.world.seq
	s.scopes[w.kind].watchers[w] = struct{}{}
}

func (s *session) leaveWild(w *watch) {
	w.wild, w.legacy, w.all = false, false, false
	delete(s.scopes[w.kind].watchers, w)
}

// checkNames refuses names that no resource can have, and too many of them.
func (s *session) checkNames(names []string) error {
	for _, name := range names {
		if name == "" || len(name) > s.limits.NameBytes {
			return fault.Field("resource_names", "a name of %d bytes; names have 1 to %d", len(name), s.limits.NameBytes)
		}
	}
	return nil
}

// subscribe adds a name to a watch; its entry is to be answered.
func (s *session) subscribe(w *watch, name string) (*entry, bool, error) {
	e, err := s.space.entryFor(w.kind, name)
	if err != nil {
		return nil, false, fault.Field("resource_names", "%q is not a name of a %s", name, w.kind)
	}
	added := w.subscribe(e)
	if added {
		if s.names++; s.names > s.limits.Names {
			return nil, false, fault.New(fault.TooLarge, "the stream asks for more than %d names", s.limits.Names)
		}
	}
	return e, added, nil
}

func (s *session) unsubscribe(w *watch, e *entry) bool {
	if !w.unsubscribe(e) {
		return false
	}
	s.names--
	s.space.forget(w.kind, e)
	return true
}

// takeDelta takes a request of the delta protocol.
func (s *session) takeDelta(req *discoveryv3.DeltaDiscoveryRequest, now time.Time) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	t, ok := resources.TypeOf(req.GetTypeUrl())
	if !ok {
		return s.takeStrange(req)
	}
	w := &s.watches[t]
	first := !w.requested
	w.requested = true
	s.answered(w, req.GetResponseNonce(), req.GetErrorDetail() != nil, req.GetErrorDetail().GetMessage(), now)

	add, remove := deltaNames(req)
	if !first && len(add)+len(remove) == 0 {
		return nil
	}
	if err := s.checkNames(add); err != nil {
		return err
	}
	s.world.mu.Lock()
	defer s.world.mu.Unlock()
	if err := s.addDelta(w, add, first); err != nil {
		return err
	}
	for _, name := range remove {
		s.removeDelta(w, name)
	}
	if first && w.wild && s.legacyWild(t) {
		s.resume(w, req.GetInitialResourceVersions())
	}
	return nil
}

// deltaNames gathers the names of a request, those with parameters included: we have none that they select.
func deltaNames(req *discoveryv3.DeltaDiscoveryRequest) (add, remove []string) {
	add, remove = req.GetResourceNamesSubscribe(), req.GetResourceNamesUnsubscribe()
	for _, l := range req.GetResourceLocatorsSubscribe() {
		add = append(add, l.GetName())
	}
	for _, l := range req.GetResourceLocatorsUnsubscribe() {
		remove = append(remove, l.GetName())
	}
	return add, remove
}

// addDelta subscribes to names. Every one of them is answered, known or not, new or not.
func (s *session) addDelta(w *watch, names []string, first bool) error {
	switch {
	case slices.Contains(names, "*"):
		s.joinWild(w)
		w.legacy = false
	case first && len(names) == 0 && s.legacyWild(w.kind):
		s.joinWild(w)
		w.legacy = true
	case w.legacy && len(names) > 0:
		s.leaveWild(w)
	}
	for _, name := range names {
		if name == "*" {
			continue
		}
		e, _, err := s.subscribe(w, name)
		if err != nil {
			return err
		}
		s.ask(w, e)
	}
	return nil
}

// removeDelta unsubscribes from a name. Below a wildcard the client must learn whether it still has it.
func (s *session) removeDelta(w *watch, name string) {
	if name == "*" {
		s.leaveWild(w)
		return
	}
	e := s.space.tables[w.kind].entries[name]
	if e == nil {
		e = &entry{name: name}
	}
	s.unsubscribe(w, e)
	if w.wild {
		w.asked = append(w.asked, e)
	}
}

// resume compares what a reconnecting client says it has with what there is. Only wildcards of clusters and
// listeners come here: an Envoy needs the answer to everything else to end its warming.
func (s *session) resume(w *watch, versions map[string]string) {
	if len(versions) == 0 {
		return
	}
	w.all = false
	w.dirtySeq, w.goneSeq = s.world.seq, s.world.seq
	have := make(map[string]bool, len(versions))
	for _, e := range s.scopes[w.kind].members {
		have[e.name] = true
		if versions[e.name] != resources.VersionText(e.res.version) {
			w.dirty.add(e)
		}
	}
	w.each(func(e *entry) { have[e.name] = true })
	var lost []string
	for name := range versions {
		if !have[name] {
			lost = append(lost, name)
		}
	}
	slices.Sort(lost)
	for _, name := range lost {
		w.gone.add(&entry{name: name})
	}
}

// takeStrange answers a request for a type that this server does not have: nothing of it exists.
func (s *session) takeStrange(req *discoveryv3.DeltaDiscoveryRequest) error {
	names, _ := deltaNames(req)
	if req.GetResponseNonce() != "" && len(names) == 0 {
		return nil
	}
	if len(s.strange) >= maxStrange {
		return fault.New(fault.Busy, "too many requests for types that do not exist here")
	}
	s.strange = append(s.strange, strangeReply{url: req.GetTypeUrl(), names: names})
	return nil
}

// takeSotW takes a request of the state-of-the-world protocol.
func (s *session) takeSotW(req *sotwRequest, now time.Time) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	t, ok := resources.TypeOf(req.typeURL)
	if !ok {
		return nil // what does not exist is not answered: the client waits for it
	}
	w := &s.watches[t]
	if req.nonce != "" && w.nonce > 0 && !w.current(req.nonce) {
		return nil // an answer to an older response: a newer request follows
	}
	s.answered(w, req.nonce, req.nack != nil, req.nack.GetMessage(), now)
	first := !w.requested
	if !first && w.digest == req.digest {
		return nil
	}
	w.requested = true
	w.digest = req.digest
	if err := s.checkNames(req.names); err != nil {
		return err
	}
	s.world.mu.Lock()
	defer s.world.mu.Unlock()
	return s.setNames(w, req.names, first)
}

// setNames makes a watch want exactly these names. What is new among them is answered even if the client had it
// before.
func (s *session) setNames(w *watch, names []string, first bool) error {
	wild := slices.Contains(names, "*")
	legacy := len(names) == 0 && s.legacyWild(w.kind) && (first || w.legacy)
	if w.wild && !wild && !legacy {
		s.leaveWild(w)
	}
	if !w.wild && (wild || legacy) {
		s.joinWild(w)
	}
	w.legacy = legacy

	want := make(map[*entry]struct{}, len(names))
	for _, name := range names {
		if name == "*" {
			continue
		}
		e, added, err := s.subscribe(w, name)
		if err != nil {
			return err
		}
		want[e] = struct{}{}
		if added {
			s.ask(w, e)
		}
	}
	w.each(func(e *entry) {
		if _, ok := want[e]; !ok {
			s.unsubscribe(w, e)
		}
	})
	return nil
}
