package link

import (
	"context"
	"crypto/tls"
	"encoding/hex"
	"log/slog"
	"net"
	"time"

	"go.opentelemetry.io/otel/metric"

	"supercluster/internal/fault"
)

// PeerID names a server of a region.
type PeerID struct {
	Region [16]byte
	Server string
}

// String gives the server and its region.
func (p PeerID) String() string { return p.Server + " of region " + hex.EncodeToString(p.Region[:]) }

// Peer is who is at the other end of a connection, and what both ends agreed on.
type Peer struct {
	PeerID
	Version uint16 // of the protocol
	Level   uint32 // of features: the lower of both
	Address net.Addr
}

// Limits of an endpoint. Zero fields mean the default.
type Limits struct {
	MaxFrame       int           // of the body of a frame; 1 MiB, which is also the most
	MaxMessage     int           // 8 MiB
	QueueBytes     int           // what may wait on a stream to be sent; 1 MiB
	StreamWindow   int           // what a peer may send on a stream before it is read; 2 MiB
	MaxStreams     int           // that a peer may have open on a connection; 16
	MaxConnections int           // accepted from everybody; 64
	MaxPerRegion   int           // accepted from one region; 8
	Handshakes     int           // per second and source; 4
	KeepAlive      time.Duration // 2 s
	Idle           time.Duration // without a sign of life until a connection is dead; 10 s
	Handshake      time.Duration // until a connection is refused; 5 s
}

// Config says who this end is and whom it talks to.
type Config struct {
	Self PeerID
	// Server authenticates dialers. It must ask for client certificates.
	Server *tls.Config
	// Client gives the configuration to dial a region with.
	Client func(expect [16]byte) (*tls.Config, error)
	// Identify reads who the peer is from its certificate, which TLS has verified.
	Identify func(tls.ConnectionState) (PeerID, error)
	// Accept serves a connection that a peer opened, until it returns; the connection is closed with its error. Its
	// context ends with the connection. Nil refuses every peer.
	Accept func(ctx context.Context, c *Conn) error
	// Join serves a connection of a region that is not trusted yet, opened by DialJoin, with JoinTLS, which has this
	// server's certificate. Nobody has verified the other one. Nil takes none.
	Join    func(ctx context.Context, c *Conn) error
	JoinTLS *tls.Config
	// ResetKey, when it is the same after a crash, lets peers that send notice at once that their connections are gone,
	// where they would have waited for Limits.Idle. It must be secret; zero makes a new one.
	ResetKey [32]byte
	// Level is the feature level of this end.
	Level  uint32
	Limits Limits

	Log   *slog.Logger
	Meter metric.Meter

	// versions are this end's; tests play newer and older peers.
	versions versionRange
}

// maxFrame bounds Limits.MaxFrame; a larger message goes in parts.
const maxFrame = 1 << 20

// minFrame is the least that a peer may name in its hello.
const minFrame = 4 << 10

func orDefault[T int | time.Duration](v *T, or T) {
	if *v == 0 {
		*v = or
	}
}

func (l *Limits) fill() error {
	orDefault(&l.MaxFrame, maxFrame)
	orDefault(&l.MaxMessage, 8<<20)
	orDefault(&l.QueueBytes, 1<<20)
	orDefault(&l.StreamWindow, 2<<20)
	orDefault(&l.MaxStreams, 16)
	orDefault(&l.MaxConnections, 64)
	orDefault(&l.MaxPerRegion, 8)
	orDefault(&l.Handshakes, 4)
	orDefault(&l.KeepAlive, 2*time.Second)
	orDefault(&l.Idle, 10*time.Second)
	orDefault(&l.Handshake, 5*time.Second)
	switch {
	case l.MaxFrame < minFrame || l.MaxFrame > maxFrame:
		return fault.Field("limits.max_frame", "%d is not within %d and %d", l.MaxFrame, minFrame, maxFrame)
	case l.MaxMessage < l.MaxFrame || l.MaxMessage > 1<<30:
		return fault.Field("limits.max_message", "%d is not within %d and 1 GiB", l.MaxMessage, l.MaxFrame)
	case l.MaxStreams < 2 || l.MaxStreams > 1024:
		return fault.Field("limits.max_streams", "%d is not within 2 and 1024", l.MaxStreams)
	case l.StreamWindow < 64<<10 || l.QueueBytes < 0 || l.MaxConnections < 0 || l.MaxPerRegion < 0 || l.Handshakes < 0:
		return fault.Field("limits", "a limit is too small")
	case l.KeepAlive < 0 || l.Handshake < 0 || l.Idle < time.Second:
		return fault.Field("limits", "a time limit is too small")
	}
	return nil
}

func (c *Config) fill() error {
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	if c.versions == (versionRange{}) {
		c.versions = versionRange{minVersion, maxVersion}
	}
	switch {
	case c.Self.Region == [16]byte{}:
		return fault.Field("self.region", "the region has no id")
	case c.Server == nil || c.Client == nil || c.Identify == nil:
		return fault.New(fault.Invalid, "a link needs a server and a client configuration of TLS, and a way to identify peers")
	case c.Server.GetConfigForClient == nil && c.Server.ClientAuth < tls.RequireAnyClientCert:
		return fault.New(fault.Invalid, "the TLS of a link must ask its clients for a certificate")
	}
	return c.Limits.fill()
}

// protocolName is agreed on by TLS, so that nothing else that speaks QUIC gets as far as a hello.
const protocolName = "supercluster-link"

// harden forces what is not a matter of configuration.
func harden(c *tls.Config) *tls.Config {
	c = c.Clone()
	c.MinVersion = tls.VersionTLS13
	c.NextProtos = []string{protocolName}
	c.SessionTicketsDisabled = true
	c.ClientSessionCache = nil
	if get := c.GetConfigForClient; get != nil {
		c.GetConfigForClient = func(hello *tls.ClientHelloInfo) (*tls.Config, error) {
			inner, err := get(hello)
			if inner == nil || err != nil {
				return nil, err
			}
			return harden(inner), nil
		}
	}
	return c
}
