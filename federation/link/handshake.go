package link

import (
	"context"
	"encoding/hex"
	"time"

	"github.com/quic-go/quic-go"

	"supercluster/internal/fault"
)

// introduce says hello first and checks that the server is of the region that was dialed.
func (c *Conn) introduce(ctx context.Context, region [16]byte) error {
	if err := c.identify(); err != nil {
		return err
	}
	if !c.joining && c.peer.Region != region {
		return fault.New(fault.Denied, "the server there is %s, not of region %s", c.peer.PeerID, hex.EncodeToString(region[:])).
			WithHint("check the addresses of the peer")
	}
	if err := c.end.track(c); err != nil {
		return err
	}
	raw, err := c.raw.OpenStreamSync(ctx)
	if err != nil {
		return asFault(err)
	}
	return c.exchange(ctx, raw)
}

// welcome waits for the hello of whoever dialed, and answers it.
func (c *Conn) welcome(ctx context.Context) error {
	if err := c.identify(); err != nil {
		return err
	}
	if err := c.end.track(c); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, c.end.cfg.Limits.Handshake)
	defer cancel()
	raw, err := c.raw.AcceptStream(ctx)
	if err != nil {
		return asFault(err)
	}
	return c.exchange(ctx, raw)
}

// identify reads who the peer is from its certificate.
func (c *Conn) identify() error {
	state := c.raw.ConnectionState().TLS
	if len(state.PeerCertificates) == 0 {
		return fault.New(fault.Unauthenticated, "the peer has no certificate")
	}
	if c.joining = state.NegotiatedProtocol == joinProtocol; c.joining {
		c.peer = Peer{Address: c.raw.RemoteAddr()}
		return nil
	}
	id, err := c.end.cfg.Identify(state)
	if err != nil {
		return fault.Wrap(fault.Unauthenticated, err, "the certificate of the peer names no server of a region")
	}
	if id.Region == c.end.cfg.Self.Region {
		return fault.New(fault.Denied, "%s is of this region itself", id).WithHint("check the addresses of peers")
	}
	c.peer = Peer{PeerID: id, Address: c.raw.RemoteAddr()}
	return nil
}

// exchange sends one hello and reads another, on the first stream. Both ends send without waiting for the other.
func (c *Conn) exchange(ctx context.Context, raw *quic.Stream) error {
	_ = raw.SetDeadline(time.Now().Add(c.end.cfg.Limits.Handshake))
	stop := context.AfterFunc(ctx, func() { _ = raw.SetDeadline(time.Unix(1, 0)) })
	defer stop()
	cfg := c.end.cfg
	own := hello{
		versions: cfg.versions, level: cfg.Level, region: cfg.Self.Region, extra: c.dialed && c.extra,
		maxFrame: uint32(cfg.Limits.MaxFrame), maxMessage: uint32(cfg.Limits.MaxMessage),
	}
	if _, err := raw.Write(own.encode()); err != nil {
		return asFault(err)
	}
	peer, err := readHello(raw)
	if err != nil {
		return err
	}
	if c.joining {
		c.peer.Region = peer.region // as it says
	}
	if c.terms, err = agree(own, peer, c.peer.Region); err != nil {
		return err
	}
	c.extra = c.extra || peer.extra && !c.dialed
	c.peer.Version, c.peer.Level = c.terms.version, c.terms.level
	raw.CancelRead(0) // nothing more comes
	_ = raw.Close()
	c.copies = c.raw.ConnectionState().SupportsDatagrams.Remote
	c.spawn(c.listen)
	c.spawn(c.takeCopies)
	return nil
}
