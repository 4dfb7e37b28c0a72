package xds

import (
	"slices"
	"time"

	"google.golang.org/grpc/mem"
	"google.golang.org/protobuf/encoding/protowire"

	"supercluster/xds/ir"
	"supercluster/xds/resources"
)

// next composes the response that is due, if one is. Otherwise it tells when to ask again without being woken;
// zero: when woken.
func (s *session) next(now time.Time) (*response, time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if r := s.nextStrange(); r != nil {
		return r, time.Time{}
	}
	s.world.mu.RLock()
	defer s.world.mu.RUnlock()
	for {
		r, again, idle := s.pass(now)
		if r != nil || idle {
			return r, again
		}
	}
}

// pass looks at every type once. It is not idle when it dropped marks that came to nothing: others may have waited
// for those.
func (s *session) pass(now time.Time) (r *response, again time.Time, idle bool) {
	idle = true
	for t := range s.watches {
		w := &s.watches[t]
		if w.pending || !w.requested {
			continue
		}
		upserts, removals, at := s.due(w, now)
		if !at.IsZero() && (again.IsZero() || at.Before(again)) {
			again = at
		}
		if upserts || removals {
			if r := s.compose(w, upserts, removals, now); r != nil {
				return r, time.Time{}, true
			}
			idle = false
		}
	}
	return nil, again, idle
}

// due tells what of a watch may be sent now: clusters, then endpoints, then what refers to them, and removals
// when nothing refers to what is removed. at is when the wait for that ends by itself.
func (s *session) due(w *watch, now time.Time) (upserts, removals bool, at time.Time) {
	if upserts = w.upserts(); upserts {
		upserts, at = s.upsertsDue(w, now)
	}
	if full := !s.delta && w.kind == resources.Listener; full && !upserts && !at.IsZero() {
		return false, false, at // a full set cannot say what is gone without saying what must wait
	}
	if removals = !w.gone.empty(); removals {
		var after time.Time
		removals, after = s.removalsDue(w, now)
		if at.IsZero() || (!after.IsZero() && after.Before(at)) {
			at = after
		}
	}
	return upserts, removals, at
}

// upsertsDue holds listeners and routes back until the client has what they may refer to. A client that never
// acknowledges its clusters must not be cut off from its routes for ever: the wait is bounded.
func (s *session) upsertsDue(w *watch, now time.Time) (bool, time.Time) {
	if w.kind < resources.Listener {
		return true, time.Time{}
	}
	if s.watches[resources.Cluster].covered(w.dirtySeq) && s.watches[resources.Endpoint].covered(w.dirtySeq) {
		w.blockedSince = time.Time{}
		return true, time.Time{}
	}
	if w.blockedSince.IsZero() {
		w.blockedSince = now
	}
	if end := w.blockedSince.Add(s.limits.Gate); now.Before(end) {
		return false, end
	}
	return true, time.Time{}
}

// removalsDue holds the removal of a cluster back until the client has acknowledged listeners and routes without
// it. That wait has no bound, since a cluster too many does no harm and one too few fails requests. A client that
// has just connected is given time to ask for its routes first.
func (s *session) removalsDue(w *watch, now time.Time) (bool, time.Time) {
	var above []resources.Type
	switch w.kind {
	case resources.Cluster:
		above = []resources.Type{resources.Listener, resources.Route}
	case resources.Route:
		above = []resources.Type{resources.Listener}
	}
	for _, t := range above {
		other := &s.watches[t]
		if !other.requested {
			if end := s.started.Add(s.limits.Gate); now.Before(end) {
				return false, end
			}
			continue
		}
		if !other.covered(w.goneSeq) || !other.gone.empty() {
			return false, time.Time{}
		}
	}
	return true, time.Time{}
}

// content is what a response says.
type content struct {
	entries []*entry
	removed []string
}

// compose makes a response of a watch; nil when there is nothing to say after all.
func (s *session) compose(w *watch, upserts, removals bool, now time.Time) *response {
	var c content
	must := w.must && upserts
	switch {
	case s.delta:
		c = s.deltaContent(w, upserts, removals)
	case w.kind == resources.Cluster || w.kind == resources.Listener:
		c, must = s.fullContent(w, upserts, removals)
	default:
		c.entries = s.changedEntries(w)
	}
	if upserts {
		s.renew(w, c.entries)
		w.dirty.clear()
		w.asked, w.all, w.must = nil, false, false
		w.blockedSince = time.Time{}
	}
	if removals {
		w.gone.clear()
	}
	if len(c.entries) == 0 && len(c.removed) == 0 && !must {
		return nil
	}
	return s.sent(w, c, now)
}

// renew has what a changed cluster or listener refers to sent again. An Envoy warms a cluster that changed until a
// response with its endpoints comes, and asks for none, since it has already subscribed to them. That response
// follows on the same stream and does not wait for the clusters to be acknowledged: that comes when they are warm.
// Routes behind a changed listener are the same case. gRPC clients keep what they have.
func (s *session) renew(w *watch, sent []*entry) {
	if s.client.role == ir.RoleGRPC {
		return
	}
	if !s.delta && !w.all {
		sent = w.dirty.list // the others are as the client has them
	}
	switch w.kind {
	case resources.Cluster:
		endpoints := &s.watches[resources.Endpoint]
		for _, c := range sent {
			if e := s.space.tables[resources.Endpoint].entries[c.name]; e != nil && endpoints.names(e) {
				s.ask(endpoints, e)
			}
		}
	case resources.Listener:
		if routes := &s.watches[resources.Route]; len(sent) > 0 {
			routes.each(func(e *entry) { s.ask(routes, e) })
		}
	}
}

// ask has an entry answered, whatever the client has.
func (s *session) ask(w *watch, e *entry) {
	w.asked = append(w.asked, e)
	w.dirtySeq = s.world.seq
}

// sent takes note of a response and encodes it.
func (s *session) sent(w *watch, c content, now time.Time) *response {
	w.nonce++
	w.pending = true
	w.sentAt = now
	if !w.upserts() {
		w.sentSeq = s.world.seq // what is held back is not covered
	}
	w.sentHash = s.space.tables[w.kind].hash
	r := s.encode(w, c)
	w.pendingBytes = r.bytes
	s.inFlight += r.bytes
	return r
}

// deltaContent is what changed, what was asked, and what is gone.
func (s *session) deltaContent(w *watch, upserts, removals bool) content {
	var c content
	if upserts {
		c.entries, c.removed = s.deltaUpserts(w)
	}
	if removals {
		w.gone.list = distinct(w.gone.list)
		for _, e := range w.gone.list {
			if s.lost(w, e) && !slices.Contains(c.removed, e.name) {
				c.removed = append(c.removed, e.name)
			}
		}
	}
	return c
}

func (s *session) deltaUpserts(w *watch) (entries []*entry, removed []string) {
	if w.all {
		entries = slices.Clone(s.scopes[w.kind].members)
	}
	fresh := len(entries)
	for _, e := range w.dirty.list {
		if s.shows(w, e) && !(w.all && s.scopes[w.kind].has(e)) {
			entries = append(entries, e)
		}
	}
	for _, e := range w.asked {
		switch {
		case w.wants(e) && (e.exists || w.kind == resources.Endpoint):
			if !(w.all && s.scopes[w.kind].has(e)) {
				entries = append(entries, e)
			}
		default:
			removed = append(removed, e.name)
		}
	}
	if len(entries)-fresh > 1 {
		entries = append(entries[:fresh], distinct(entries[fresh:])...)
	}
	slices.Sort(removed)
	return entries, slices.Compact(removed)
}

// shows reports whether a marked entry is to be sent: the client still wants it, and it has bytes. Endpoints that
// went with their cluster are sent as the empty assignment.
func (s *session) shows(w *watch, e *entry) bool {
	if w.kind == resources.Endpoint && !e.exists {
		return w.names(e) || w.wild
	}
	return e.exists && w.wants(e)
}

// lost reports whether the client must be told that an entry is gone: it wanted it, and no other has its name.
func (s *session) lost(w *watch, e *entry) bool {
	if w.kind == resources.Endpoint {
		return false
	}
	if now := s.space.tables[w.kind].entries[e.name]; now != nil && now.exists && w.wants(now) {
		return false
	}
	return w.names(e) || w.wild
}

// fullContent is everything the client wants: absence means removal in the state of the world. While removals must
// wait, what is gone is said once more with its last bytes.
func (s *session) fullContent(w *watch, upserts, removals bool) (content, bool) {
	relevant := w.must || w.all || len(w.asked) > 0 || removals && slices.ContainsFunc(w.gone.list, func(e *entry) bool {
		return s.lost(w, e)
	})
	if upserts && !relevant {
		relevant = slices.ContainsFunc(w.dirty.list, func(e *entry) bool { return s.shows(w, e) })
	}
	if !relevant {
		return content{}, false
	}
	var c content
	if w.wild {
		c.entries = slices.Clone(s.scopes[w.kind].members)
	}
	w.each(func(e *entry) {
		if e.exists && !(w.wild && s.scopes[w.kind].has(e)) {
			c.entries = append(c.entries, e)
		}
	})
	if !removals {
		c.entries = append(c.entries, s.ghosts(w)...)
	}
	return c, true
}

// ghosts are the entries that are gone but must be said once more. A name that came and went twice has two: the
// newer counts.
func (s *session) ghosts(w *watch) []*entry {
	w.gone.list = distinct(w.gone.list)
	var ghosts []*entry
	for _, e := range slices.Backward(w.gone.list) {
		said := func(o *entry) bool { return o.name == e.name }
		if e.res != nil && s.lost(w, e) && !slices.ContainsFunc(ghosts, said) {
			ghosts = append(ghosts, e)
		}
	}
	return ghosts
}

// changedEntries is what a state-of-the-world response of endpoints or routes holds: only what is new. There is
// no way to say that one is gone.
func (s *session) changedEntries(w *watch) []*entry {
	var entries []*entry
	if w.all {
		entries = slices.Clone(s.scopes[w.kind].members)
	}
	for _, list := range [][]*entry{w.dirty.list, w.asked} {
		for _, e := range list {
			if s.shows(w, e) {
				entries = append(entries, e)
			}
		}
	}
	return distinct(entries)
}

// The fields of the responses. A DeltaDiscoveryResponse and a DiscoveryResponse share the first five.
const (
	fieldVersion      = 1
	fieldTypeURL      = 4
	fieldNonce        = 5
	fieldSotWControl  = 6
	fieldDeltaRemoved = 6
	fieldDeltaControl = 7
)

// encode puts a header before the shared bytes.
func (s *session) encode(w *watch, c content) *response {
	size := 160 + len(s.control)
	for _, name := range c.removed {
		size += len(name) + 4
	}
	h := make([]byte, 0, size)
	h = appendField(h, fieldVersion, resources.VersionText(w.sentHash))
	h = appendField(h, fieldTypeURL, w.kind.URL())
	h = appendField(h, fieldNonce, w.nonceText())
	for _, name := range c.removed {
		h = appendField(h, fieldDeltaRemoved, name)
	}
	h = append(h, s.control...)
	r := &response{data: make(mem.BufferSlice, 0, 1+len(c.entries)), bytes: len(h)}
	r.data = append(r.data, mem.SliceBuffer(h))
	for _, e := range c.entries {
		b := e.res.delta
		if !s.delta {
			b = e.res.sotw
		}
		r.data = append(r.data, b)
		r.bytes += b.Len()
	}
	return r
}

// nextStrange answers what was asked of types that do not exist here.
func (s *session) nextStrange() *response {
	if len(s.strange) == 0 {
		return nil
	}
	q := s.strange[0]
	s.strange = s.strange[1:]
	var h []byte
	h = appendField(h, fieldTypeURL, q.url)
	h = appendField(h, fieldNonce, "0")
	for _, name := range q.names {
		if name != "*" {
			h = appendField(h, fieldDeltaRemoved, name)
		}
	}
	h = append(h, s.control...)
	return &response{data: mem.BufferSlice{mem.SliceBuffer(h)}, bytes: len(h)}
}

// controlField is the field control_plane that all responses of a server carry.
func controlField(delta bool, identifier string) []byte {
	field := protowire.Number(fieldSotWControl)
	if delta {
		field = fieldDeltaControl
	}
	return appendField(nil, field, string(appendField(nil, 1, identifier)))
}

func appendField(b []byte, field protowire.Number, value string) []byte {
	b = protowire.AppendTag(b, field, protowire.BytesType)
	return protowire.AppendString(b, value)
}
