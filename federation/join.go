package federation

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"slices"
	"time"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	pb "supercluster/api/gen/supercluster/v1"
	"supercluster/federation/link"
	"supercluster/internal/fault"
	"supercluster/region/record"
	"supercluster/region/state"
	"supercluster/registry"
)

// Life of an invitation.
const (
	defaultLifetime = 10 * time.Minute
	maxLifetime     = 24 * time.Hour
	secretBytes     = 32
)

// Invite makes an invitation for one region. Only a hash of its secret is kept.
func (f *Federation) Invite(ctx context.Context, lifetime time.Duration, w record.Writer) (*pb.Invitation, error) {
	if lifetime == 0 {
		lifetime = defaultLifetime
	}
	if lifetime < 0 || lifetime > maxLifetime {
		return nil, fault.Field("lifetime", "is %s; an invitation holds for at most %s", lifetime, maxLifetime)
	}
	secret := make([]byte, secretBytes)
	if _, err := rand.Read(secret); err != nil {
		return nil, fault.Wrap(fault.Internal, err, "no random bytes")
	}
	expires := f.cfg.Now().Add(lifetime)
	put := record.TxnOp{
		Type: record.TxnPut, Key: invitationKey(secret), Value: binary.BigEndian.AppendUint64(nil, uint64(expires.UnixNano())),
	}
	if err := f.system(ctx, w, nil, put); err != nil {
		return nil, err
	}
	id := f.cfg.Identity
	return &pb.Invitation{
		RegionId: hex.EncodeToString(id.RegionID[:]), Region: f.book.ownDocument().GetName(), Addresses: f.cfg.Addresses(),
		Fingerprint: id.Fingerprint, CaCertificates: id.Roots, Secret: secret, Expires: timestamppb.New(expires),
	}, nil
}

func invitationKey(secret []byte) record.Key {
	sum := sha256.Sum256(append([]byte("supercluster invitation\x00"), secret...))
	return record.Key{Shard: record.ShardSystem, Kind: record.KindInvitation, Scope: record.ScopeRegion, Name: hex.EncodeToString(sum[:])}
}

// system runs a transaction on system records.
func (f *Federation) system(ctx context.Context, w record.Writer, compare []record.Compare, ops ...record.TxnOp) error {
	r, err := f.propose(ctx, record.Op{Type: record.OpTxn, Txn: &record.Txn{
		Shard: record.ShardSystem, Compare: compare, Then: ops, Writer: w,
	}})
	if err == nil && r.Txn != nil && !r.Txn.Succeeded {
		err = fault.New(fault.Conflict, "another call was faster")
	}
	return err
}

// redeem uses an invitation up: it exists, holds, and nobody used it before. It gives who made it.
func (f *Federation) redeem(ctx context.Context, secret []byte) (inviter string, err error) {
	k := invitationKey(secret)
	refused := fault.New(fault.Denied, "the invitation is not one of this region, or was used").
		WithHint("make another: `supercluster region peer invite`")
	if _, err := f.cfg.Store.Linearize(ctx); err != nil {
		return "", err
	}
	var rec record.Record
	var found bool
	if err := f.pinned(func(r state.Reader) (err error) {
		if rec, found, err = state.Get(r, k, 0); err != nil || !found {
			return err
		}
		inviter, err = state.ActorOf(r, k.Shard, rec.ModifyRevision)
		return err
	}); err != nil {
		return "", err
	}
	if !found || len(rec.Value) != 8 {
		return "", refused
	}
	w := record.Writer{Actor: inviter, Message: "the invitation was used", Time: f.cfg.Now().UnixNano()}
	compare := []record.Compare{{
		Key: k, Target: record.CompareModifyRevision, Operator: record.CompareEqual, Number: rec.ModifyRevision,
	}}
	if err := f.system(ctx, w, compare, record.TxnOp{Type: record.TxnDelete, Key: k}); fault.Is(err, fault.Conflict) {
		return "", refused
	} else if err != nil {
		return "", err
	}
	if expires := time.Unix(0, int64(binary.BigEndian.Uint64(rec.Value))); f.cfg.Now().After(expires) {
		return "", fault.New(fault.Denied, "the invitation ended at %s by the clock of the region that made it", expires.UTC().Format(time.RFC3339)).
			WithHint("make another: `supercluster region peer invite`")
	}
	return inviter, nil
}

// join serves a region that is not trusted yet and has an invitation: one call, then the connection ends. Why it was not let in
// is the error, which the link logs.
func (f *Federation) join(ctx context.Context, c *link.Conn) error {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	s, err := c.Accept(ctx)
	if err != nil {
		return err
	}
	m, err := s.Recv(ctx)
	if err != nil {
		return err
	}
	id, n := binary.Uvarint(m.Body)
	if m.Type != frameCall || n <= 0 || len(m.Body) == n || m.Body[n] != callJoin {
		return fault.New(fault.Denied, "a region without an invitation may only join")
	}
	body, refused := f.welcome(ctx, c, m.Body[n+1:])
	err = s.Send(ctx, link.Message{Type: frameAnswer, Body: encodeAnswer(id, body, refused)})
	if err == nil {
		_, _ = s.Recv(ctx) // the other end closes, having read the answer
	}
	if refused != nil {
		return refused
	}
	return err
}

// welcome judges a region that wants to join, and makes it a peer.
func (f *Federation) welcome(ctx context.Context, c *link.Conn, payload []byte) ([]byte, error) {
	m := &pb.JoinRequest{}
	if err := proto.Unmarshal(payload, m); err != nil {
		return nil, fault.New(fault.Invalid, "the request to join does not parse")
	}
	doc, err := openDocument(m.GetRegion())
	if err != nil {
		return nil, err
	}
	who, err := f.cfg.Identity.Claimed(c.TLS(), doc.GetCaCertificates())
	if err != nil {
		return nil, fault.Wrap(fault.Unauthenticated, err, "the certificate of the region that joins is not by its own CA")
	}
	if hex.EncodeToString(who.Region[:]) != doc.GetId() {
		return nil, fault.New(fault.Denied, "the certificate of the region that joins is of region %x, not of %s", who.Region, doc.GetId())
	}
	if err := f.fits(who.Region, doc); err != nil {
		return nil, err
	}
	if err := f.nameIsFree(doc.GetId(), doc.GetName()); err != nil {
		return nil, err
	}
	inviter, err := f.redeem(ctx, m.GetSecret())
	if err != nil {
		return nil, err
	}
	w := record.Writer{Actor: inviter, Message: "the region joined by an invitation", Time: f.cfg.Now().UnixNano()}
	if err := f.addPeer(ctx, who.Region, doc, w); err != nil {
		return nil, err
	}
	f.log.Info("a region joined", "region", doc.GetName(), "id", doc.GetId(), "ca", f.cfg.Identity.Fingerprints(doc.GetCaCertificates()))
	own, err := f.signedDocument()
	if err != nil {
		return nil, err
	}
	return marshal(&pb.JoinResponse{Region: own})
}

// fullDocument describes this region as it is, also before it was written for the first time.
func (f *Federation) fullDocument() *pb.Region {
	doc := f.book.ownDocument()
	f.complete(doc)
	return doc
}

// complete says in a document of this region what this node knows of it.
func (f *Federation) complete(doc *pb.Region) {
	id := f.cfg.Identity
	doc.FeedKey, doc.CaCertificates, doc.TrustDomain = id.FeedKey, id.Roots, id.TrustDomain
	f.address(doc)
}

// address says in a document of this region where it is reached.
func (f *Federation) address(doc *pb.Region) {
	if a := f.cfg.Addresses(); len(a) > 0 {
		doc.Addresses = a
	}
	if f.cfg.ProbeAddresses != nil {
		doc.ProbeAddresses = f.cfg.ProbeAddresses()
	}
}

// fits judges the document of a region that is to be a peer, but for its name.
func (f *Federation) fits(id [16]byte, doc *pb.Region) error {
	if id == f.cfg.Identity.RegionID {
		return fault.New(fault.Invalid, "that is this region itself")
	}
	if len(doc.GetFeedKey()) != 32 || len(doc.GetCaCertificates()) == 0 || doc.GetName() == "" || len(doc.GetAddresses()) == 0 {
		return fault.New(fault.Invalid, "the region's document lacks its name, addresses, feed key or CA")
	}
	if p := f.book.find(id); p != nil && !sameKeys(p.doc, doc) {
		return otherKeys(p)
	}
	return nil
}

func otherKeys(p *peer) error {
	return fault.New(fault.Exists, "region %q is a peer already, with another feed key or CA", p.doc.GetName()).
		WithHint("if the region was made anew, remove the peer before it joins again")
}

// sameKeys reports whether two documents of a region have the same feed key, and a certificate of a CA in common.
func sameKeys(a, b *pb.Region) bool {
	return bytes.Equal(a.GetFeedKey(), b.GetFeedKey()) && sameCA(a.GetCaCertificates(), b.GetCaCertificates())
}

// sameCA reports whether two lists of certificates have one in common.
func sameCA(a, b [][]byte) bool {
	return slices.ContainsFunc(a, func(der []byte) bool {
		return slices.ContainsFunc(b, func(other []byte) bool { return bytes.Equal(der, other) })
	})
}

func (f *Federation) addPeer(ctx context.Context, id [16]byte, doc *pb.Region, w record.Writer) error {
	value, err := registry.RegionValue(doc)
	if err != nil {
		return err
	}
	_, err = f.propose(ctx, record.Op{Type: record.OpPeer, Peer: &record.Peer{
		RegionID: id, Value: value, Writer: w,
	}})
	return err
}

// Accept joins this region with the one that made an invitation.
func (f *Federation) Accept(ctx context.Context, inv *pb.Invitation, w record.Writer) (*pb.Peer, error) {
	var region [16]byte
	id, err := hex.DecodeString(inv.GetRegionId())
	if err != nil || len(id) != len(region) || len(inv.GetCaCertificates()) == 0 || len(inv.GetAddresses()) == 0 || len(inv.GetSecret()) == 0 {
		return nil, fault.New(fault.Invalid, "the invitation is not whole").WithHint("make another: `supercluster region peer invite`")
	}
	copy(region[:], id)
	if prints := f.cfg.Identity.Fingerprints(inv.GetCaCertificates()); len(prints) == 0 || prints[0] != inv.GetFingerprint() {
		return nil, fault.New(fault.Denied, "the fingerprint in the invitation is not that of its certificate: it was altered")
	}
	// Whether its time is over says the region that made it: the clock of this one may be another.
	if region == f.cfg.Identity.RegionID {
		return nil, fault.New(fault.Invalid, "the invitation was made by this region itself").
			WithHint("accept it in the other region")
	}
	if err := f.mayAccept(region, inv); err != nil {
		return nil, err
	}
	doc, err := f.knock(ctx, region, inv)
	if err != nil {
		return nil, err
	}
	if doc.GetId() != inv.GetRegionId() {
		return nil, fault.New(fault.Denied, "the region that answered is %s, not %s", doc.GetId(), inv.GetRegionId())
	}
	if err := f.fits(region, doc); err != nil {
		return nil, err
	}
	if err := f.addPeer(ctx, region, doc, w); err != nil {
		return nil, err
	}
	return &pb.Peer{Region: doc, Fingerprints: f.cfg.Identity.Fingerprints(doc.GetCaCertificates())}, nil
}

// mayAccept judges the region that made an invitation before it is shown that: with the answer the invitation is used, and this region a
// peer there. A name that the other region got since it made the invitation, and that another one has, is no reason to refuse then.
func (f *Federation) mayAccept(region [16]byte, inv *pb.Invitation) error {
	if p := f.book.find(region); p != nil && !sameCA(p.doc.GetCaCertificates(), inv.GetCaCertificates()) {
		return otherKeys(p)
	}
	return f.nameIsFree(inv.GetRegionId(), inv.GetRegion())
}

// knock shows the invitation to the first address that answers.
func (f *Federation) knock(ctx context.Context, region [16]byte, inv *pb.Invitation) (*pb.Region, error) {
	var last error
	for _, address := range inv.GetAddresses() {
		doc, reached, err := f.knockAt(ctx, region, address, inv)
		if err == nil {
			return doc, nil
		}
		if last = err; reached {
			return nil, err // it was heard and refused: another server of the region says the same
		}
	}
	return nil, fault.Wrap(fault.Unavailable, last, "no server of the inviting region answers at %v", inv.GetAddresses()).
		WithHint("is its federation port reachable over UDP from here?")
}

func (f *Federation) knockAt(ctx context.Context, region [16]byte, address string, inv *pb.Invitation) (doc *pb.Region, reached bool, err error) {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	c, err := f.endpoint.DialJoin(ctx, region, address)
	if err != nil {
		return nil, false, err
	}
	defer c.Close(nil)
	who, err := f.cfg.Identity.Claimed(c.TLS(), inv.GetCaCertificates())
	if err != nil || who.Region != region {
		return nil, true, fault.New(fault.Denied, "the server at %s is not of the region that made the invitation", address)
	}
	s, err := c.Open(ctx, link.ClassCalls)
	if err != nil {
		return nil, false, err
	}
	defer s.Close()
	own, err := f.signedDocument()
	if err != nil {
		return nil, false, err
	}
	payload, err := marshal(&pb.JoinRequest{Secret: inv.GetSecret(), Region: own})
	if err != nil {
		return nil, false, err
	}
	if err := s.Send(ctx, link.Message{Type: frameCall, Body: append([]byte{1, callJoin}, payload...)}); err != nil {
		return nil, false, err
	}
	m, err := s.Recv(ctx)
	if err != nil {
		return nil, true, err
	}
	if len(m.Body) < 2 {
		return nil, true, fault.New(fault.Invalid, "the answer to the invitation does not parse")
	}
	a := decodeAnswer(m.Body[1:])
	if a.err != nil {
		return nil, true, a.err
	}
	out := &pb.JoinResponse{}
	if err := proto.Unmarshal(a.body, out); err != nil {
		return nil, true, fault.New(fault.Invalid, "the answer to the invitation does not parse")
	}
	doc, err = openDocument(out.GetRegion())
	return doc, true, err
}

// RemovePeer ends the exchange with a region.
func (f *Federation) RemovePeer(ctx context.Context, name string, w record.Writer) error {
	region, err := f.book.named(name)
	if err != nil {
		return err
	}
	_, err = f.propose(ctx, record.Op{Type: record.OpPeer, Peer: &record.Peer{RegionID: region, Removed: true, Writer: w}})
	return err
}

// Unfence ends the fence of a region that found another living copy of itself.
func (f *Federation) Unfence(ctx context.Context, w record.Writer) (uint64, error) {
	var row record.Federation
	if err := f.pinned(func(r state.Reader) (err error) {
		row, _, err = state.ReadFederation(r)
		return err
	}); err != nil {
		return 0, err
	}
	if row.Fence == record.FenceNone {
		return 0, fault.New(fault.Conflict, "the region is not fenced")
	}
	r, err := f.propose(ctx, record.Op{Type: record.OpMint, Mint: &record.Mint{Incarnation: row.Incarnation, Seen: row.Seen, Operator: true, Writer: w}})
	return uint64(r.ID), err
}
