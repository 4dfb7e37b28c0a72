package server

import (
	"context"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"strings"
	"time"

	pb "supercluster/api/gen/supercluster/v1"
	"supercluster/internal/fault"
	"supercluster/region/record"
	"supercluster/registry"
	"supercluster/registry/access"
)

// A session token is base64url of: version u8 | region id | shard u8 | incarnation uvarint | revision uvarint. It grants
// nothing: it only says what a read must wait for.
const (
	sessionVersion = 1
	maxTokens      = 16
)

type session struct {
	region                [16]byte // zero: the region that made it has no identity
	shard                 uint32
	incarnation, revision uint64
}

func (t session) String() string {
	raw := make([]byte, 0, 40)
	raw = append(append(raw, sessionVersion), t.region[:]...)
	raw = append(raw, byte(t.shard))
	raw = binary.AppendUvarint(binary.AppendUvarint(raw, t.incarnation), t.revision)
	return string(base64.RawURLEncoding.AppendEncode(make([]byte, 0, 56), raw))
}

// incarnation is that of this region; 0 while it exchanges nothing.
func (s *Server) incarnation() uint64 {
	if s.cfg.Homes == nil {
		return 0
	}
	_, n := s.cfg.Homes.Self()
	return n
}

// sessionsOf reads the tokens of a request.
func sessionsOf(text string) ([]session, error) {
	parts := strings.Split(text, ",")
	if text == "" || len(parts) > maxTokens {
		return nil, badSession("one token to %d are needed", maxTokens)
	}
	all := make([]session, len(parts))
	for i, part := range parts {
		raw, err := base64.RawURLEncoding.DecodeString(strings.TrimSpace(part))
		if err != nil || len(raw) < 20 || raw[0] != sessionVersion || raw[17] > byte(record.ShardData) {
			return nil, badSession("%q is not a token of this API", part)
		}
		t := &all[i]
		copy(t.region[:], raw[1:])
		t.shard = uint32(raw[17])
		incarnation, n := binary.Uvarint(raw[18:])
		if n <= 0 {
			return nil, badSession("%q is not a token of this API", part)
		}
		revision, k := binary.Uvarint(raw[18+n:])
		if k <= 0 || 18+n+k != len(raw) {
			return nil, badSession("%q is not a token of this API", part)
		}
		t.incarnation, t.revision = incarnation, revision
	}
	return all, nil
}

func badSession(format string, args ...any) error {
	return fault.Field("read.session", format, args...).WithHint("send `session_token` of the header of a write's answer, as it is")
}

// stamp says in the answer of a write which region applied it, and gives the token of its revision. The answer of a write
// that was forwarded has both already.
func (s *Server) stamp(c *call, resp any) {
	answer, ok := resp.(interface{ GetHeader() *pb.WriteHeader })
	if !ok {
		return
	}
	h := answer.GetHeader()
	if h.GetRevision() == 0 || h.GetSessionToken() != "" {
		return
	}
	t := session{shard: record.ShardData, revision: h.GetRevision()}
	if c.row.kind == access.KindTenant || c.row.kind == access.KindNamespace {
		t.shard = record.ShardSystem
	}
	if s.cfg.Homes != nil {
		t.region, t.incarnation = s.cfg.Homes.Self()
	}
	h.Region, h.Incarnation, h.SessionToken = s.cfg.RegionName, t.incarnation, t.String()
}

// consistencyOf gives the level that a request names, or that what it says besides means.
func consistencyOf(o *pb.ReadOptions) pb.Consistency {
	switch c := o.GetConsistency(); {
	case c != pb.Consistency_CONSISTENCY_UNSPECIFIED:
		return c
	case o.GetSession() != "":
		return pb.Consistency_CONSISTENCY_SESSION
	case o.GetMaxAge() != nil:
		return pb.Consistency_CONSISTENCY_BOUNDED
	default:
		return c
	}
}

// level makes this node show what a read asks for, and gives the level at which the store is read then. classes are those
// of the channels that bring what is read from other regions.
func (s *Server) level(ctx context.Context, o *pb.ReadOptions, unspecified record.Level, classes ...record.Class) (record.Level, error) {
	switch consistencyOf(o) {
	case pb.Consistency_CONSISTENCY_LOCAL:
		return record.LevelLocal, nil
	case pb.Consistency_CONSISTENCY_LINEARIZABLE, pb.Consistency_CONSISTENCY_HOME:
		return record.LevelLinearizable, nil
	case pb.Consistency_CONSISTENCY_SESSION:
		return record.LevelLocal, s.awaitSession(ctx, o, classes)
	case pb.Consistency_CONSISTENCY_BOUNDED:
		if o.GetMaxAge().AsDuration() <= 0 {
			return 0, fault.Field("read.max_age", "is needed for a bounded read, and more than 0")
		}
		if s.cfg.Region.Freshness().AgeNanos > int64(o.GetMaxAge().AsDuration()) {
			return record.LevelLinearizable, nil // one question to the region makes it younger
		}
		return record.LevelLocal, nil
	default:
		return unspecified, nil
	}
}

// awaitSession waits until this node shows what the tokens of a read stand for.
func (s *Server) awaitSession(ctx context.Context, o *pb.ReadOptions, classes []record.Class) error {
	tokens, err := sessionsOf(o.GetSession())
	if err != nil {
		return err
	}
	ctx, cancel := withDefaultDeadline(ctx, s.cfg.Limits.ReadTimeout)
	if cancel != nil {
		defer cancel()
	}
	var self [16]byte
	var incarnation uint64
	if s.cfg.Homes != nil {
		self, incarnation = s.cfg.Homes.Self()
	}
	for _, t := range tokens {
		if t.region == self || t.region == [16]byte{} {
			if err := s.awaitOwn(ctx, t, incarnation); err != nil {
				return err
			}
			continue
		}
		if s.cfg.Homes == nil {
			return badSession("it is of another region, and this one exchanges nothing with others")
		}
		waited := classes
		if t.shard == record.ShardSystem {
			waited = []record.Class{record.ClassControl}
		}
		if err := s.cfg.Homes.Await(ctx, t.region, t.incarnation, t.revision, waited...); err != nil {
			return err
		}
	}
	return s.cfg.Views.Wait(ctx, s.cfg.Region.Freshness().Positions)
}

// awaitOwn waits for a revision of this region.
func (s *Server) awaitOwn(ctx context.Context, t session, incarnation uint64) error {
	if t.incarnation != 0 && t.incarnation < incarnation {
		return fault.New(fault.Compacted, "this region has been restored since: what it was at revision %d before may be lost", t.revision).
			WithHint("read without the token, and go on with the one of your next write")
	}
	if s.cfg.Region.Freshness().Positions.Of(t.shard) < t.revision {
		if _, err := s.cfg.Region.Linearize(ctx); err != nil {
			return err
		}
	}
	err := s.cfg.Views.Wait(ctx, record.Positions{}.With(t.shard, t.revision))
	if err != nil && ctx.Err() != nil {
		return fault.Wrap(fault.Deadline, err, "this node does not show revision %d yet", t.revision)
	}
	return err
}

// errTooOld marks the failure of a bounded read.
var errTooOld = errors.New("a copy is too old")

// touched is the regions whose records an answer shows.
type touched map[[16]byte]struct{}

func (t touched) add(origin *record.Origin) {
	if origin != nil && origin.Home != ([16]byte{}) {
		t[origin.Home] = struct{}{}
	}
}

// scope adds the region that an alias stands for.
func (t touched) scope(v *registry.View, alias uint32) {
	if r, ok := v.RegionAt(alias); ok && !r.IsLocal() {
		t[r.ID] = struct{}{}
	}
}

// service adds the regions of a service: that of its definition, and those of its instances.
func (t touched) service(v *registry.View, sv *registry.ServiceView) {
	t.add(sv.DefinitionOrigin)
	for _, in := range sv.Instances[len(sv.Local()):] {
		t.scope(v, in.Key.Scope)
	}
}

// bounded fails a bounded read whose answer shows a copy that is older than it may be. regions tells whose records it
// shows, or would if there were any.
func (r *reading) bounded(o *pb.ReadOptions, regions func(t touched)) error {
	if consistencyOf(o) != pb.Consistency_CONSISTENCY_BOUNDED {
		return nil
	}
	all, limit := touched{}, o.GetMaxAge().AsDuration()
	regions(all)
	for id := range all {
		age, known := r.age(id)
		name := r.HomeOf(&record.Origin{Home: id})
		switch {
		case !known:
			return fault.Wrap(fault.Unavailable, errTooOld, "nobody knows how old the copy of region %q is", name).
				WithHint("level local answers all the same, level home asks there")
		case age > limit:
			return fault.Wrap(fault.Unavailable, errTooOld, "the copy of region %q is %s old, over the %s allowed", name,
				age.Round(time.Millisecond), limit).WithHint("level local answers all the same, level home asks there")
		}
	}
	return nil
}

// homesTouched adds the regions that names with a prefix, or one name, are of.
func (s *Server) homesTouched(t touched, tenant, namespace, name string, prefix bool) {
	if s.cfg.Homes == nil {
		return
	}
	tid, nid, ok := s.cfg.Views.View().NamespaceIDs(tenant, namespace)
	if !ok {
		return
	}
	if !prefix {
		if h := s.cfg.Homes.Home(tid, nid, name); !h.Here {
			t[h.Region] = struct{}{}
		}
		return
	}
	for _, h := range s.cfg.Homes.Homes(tid, nid, name) {
		if !h.Here {
			t[h.Region] = struct{}{}
		}
	}
}
