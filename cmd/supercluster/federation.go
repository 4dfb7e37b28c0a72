package main

import (
	"context"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"net"
	"slices"
	"time"

	pb "supercluster/api/gen/supercluster/v1"
	"supercluster/api/server"
	"supercluster/federation"
	"supercluster/federation/link"
	"supercluster/internal/fault"
	"supercluster/secrets/ca"
)

// makeFederation makes the exchange with other regions, if this region has an identity.
func (p *process) makeFederation() (err error) {
	if p.identity == nil {
		return nil
	}
	c, t := p.config, p.telemetry
	log := t.Log().With("part", "federation")
	if p.issuer, err = ca.NewIssuer(ca.IssuerConfig{Identity: p.identity, Server: c.Node, Log: log}); err != nil {
		return err
	}
	p.trust = &ca.Trust{}
	if err := p.trust.SetRegion(p.identity.RegionID, []*x509.Certificate{p.identity.Root}); err != nil {
		return err
	}
	var socket net.PacketConn
	if socket, err = net.ListenPacket("udp", c.Listen.Federation); err != nil {
		return portFault(link.ListenFault(c.Listen.Federation, err), "listen.federation", "--federation", c.Listen.Federation)
	}
	if p.shape != nil {
		socket = link.NewShaper(socket, p.shape)
	}
	p.federation, err = federation.New(federation.Config{
		Store: p.region, Identity: p.federationIdentity(), Node: c.Node, Socket: socket,
		Addresses: p.federationAddresses, AddressOf: p.federationAddressOf,
		Link: link.Config{
			Limits: link.Limits{QueueBytes: 64 << 10}, // what waits in it is late
			Server: p.trust.ServerTLS(p.issuer), Identify: peerOf, JoinTLS: p.joinTLS(), ResetKey: p.resetKey(),
			Client: func(region [16]byte) (*tls.Config, error) { return p.trust.ClientTLS(p.issuer, region), nil },
		},
		ProbeAddresses: p.probeAddresses, Probe: p.askProbe(),
		View: p.live.View, Forward: p.answerForward, CatchingUp: catchingUp, SendOnce: !c.Federation.Copies,
		Log: log, Meter: t.Meter("federation"),
	})
	if err != nil {
		return err
	}
	p.region.Handle(federation.MethodAges, p.federation.HandleAges)
	p.region.Handle(federation.MethodReach, p.federation.HandleReach)
	p.region.Handle(federation.MethodForward, p.federation.HandleForward)
	return nil
}

// exchange is the exchange with other regions as the API needs it; nil without one.
func (p *process) exchange() server.Federation {
	if p.federation == nil {
		return nil
	}
	return p.federation
}

// sources tells how old the copies of other regions are; nil without an exchange with them.
func (p *process) sources() server.Sources {
	if p.federation == nil {
		return nil
	}
	return p.federation
}

// ages tells how old what a read shows of other regions is.
func (p *process) ages() func(region [16]byte) (time.Duration, bool) {
	if p.federation == nil {
		return func([16]byte) (time.Duration, bool) { return 0, false }
	}
	return p.federation.Ages()
}

// federationIdentity is who this region is, as package federation needs it.
func (p *process) federationIdentity() federation.Identity {
	key := p.identity.Feed.Public()
	return federation.Identity{
		RegionID: p.identity.RegionID, Name: p.identity.Name, TrustDomain: p.identity.TrustDomain, FeedKey: key[:],
		Roots: [][]byte{p.identity.Root.Raw}, Fingerprint: p.identity.Fingerprint(), Sign: func(b []byte) [64]byte { return p.identity.Feed.Sign(b) },
		Fingerprints: fingerprints, SetRoots: p.setRoots, Claimed: claimed,
	}
}

// joinTLS shows this server's certificate to a region that does not trust it yet.
func (p *process) joinTLS() *tls.Config {
	return &tls.Config{
		MinVersion: tls.VersionTLS13, ClientAuth: tls.RequireAnyClientCert,
		GetCertificate: p.issuer.GetCertificate, GetClientCertificate: p.issuer.GetClientCertificate,
	}
}

// resetKey is the same after a crash, secret, and no other server's: peers then notice at once that this one restarted.
func (p *process) resetKey() [32]byte {
	sig := p.identity.Feed.Sign([]byte("supercluster stateless reset\x00" + p.config.Node))
	return sha256.Sum256(sig[:])
}

// federationAddress is where other regions reach this server; empty without an identity.
func (p *process) federationAddress() string {
	if p.identity == nil {
		return ""
	}
	return advertised(p.config.Advertise.Federation, p.config.Listen.Federation)
}

// federationAddresses lists where the servers of this region are reached by others: those whose records are here, and
// this one.
func (p *process) federationAddresses() []string {
	return p.addressesOf(p.federationAddress(), (*pb.Node).GetFederationAddress)
}

// federationAddressOf is where other regions reach a server of this region; empty: its record is not here.
func (p *process) federationAddressOf(node string) string {
	if node == p.config.Node {
		return p.federationAddress()
	}
	for _, n := range p.live.View().Nodes() {
		if n.GetName() == node {
			return n.GetFederationAddress()
		}
	}
	return ""
}

// probeAddress is where other regions probe this server; empty without an identity.
func (p *process) probeAddress() string {
	if p.identity == nil {
		return ""
	}
	return p.config.ProbeAddress()
}

// probeAddresses lists where the servers of this region are probed by others.
func (p *process) probeAddresses() []string {
	return p.addressesOf(p.probeAddress(), (*pb.Node).GetProbeAddress)
}

func (p *process) addressesOf(own string, of func(*pb.Node) string) []string {
	var addresses []string
	if own != "" {
		addresses = append(addresses, own)
	}
	for _, n := range p.live.View().Nodes() {
		if a := of(n); a != "" && !slices.Contains(addresses, a) {
			addresses = append(addresses, a)
		}
	}
	slices.Sort(addresses)
	return addresses
}

// askProbe asks a probe listener of another region.
func (p *process) askProbe() func(ctx context.Context, address string) (time.Duration, error) {
	return func(ctx context.Context, address string) (time.Duration, error) {
		if p.probing != nil {
			if err := p.probing(ctx, address); err != nil {
				return 0, err
			}
		}
		return askProbe(ctx, address)
	}
}

func (p *process) setRoots(region [16]byte, der [][]byte) error {
	if len(der) == 0 {
		p.trust.RemoveRegion(region)
		return nil
	}
	roots, err := parseRoots(der)
	if err != nil {
		return err
	}
	return p.trust.SetRegion(region, roots)
}

func parseRoots(der [][]byte) ([]*x509.Certificate, error) {
	var roots []*x509.Certificate
	for _, b := range der {
		c, err := x509.ParseCertificate(b)
		if err != nil {
			return nil, fault.Wrap(fault.Invalid, err, "a certificate of a region cannot be read")
		}
		roots = append(roots, c)
	}
	return roots, nil
}

func fingerprints(der [][]byte) []string {
	var all []string
	roots, err := parseRoots(der)
	if err != nil {
		return nil
	}
	for _, r := range roots {
		all = append(all, ca.Fingerprint(r))
	}
	return all
}

// peerOf says which server is at the other end, after the handshake verified it.
func peerOf(state tls.ConnectionState) (link.PeerID, error) {
	id, err := ca.PeerOf(state)
	return link.PeerID{Region: id.Region, Server: id.Name}, err
}

// claimed says which server a certificate proves, by the roots that came with an invitation or a request to join.
func claimed(state tls.ConnectionState, der [][]byte) (link.PeerID, error) {
	roots, err := parseRoots(der)
	if err != nil {
		return link.PeerID{}, err
	}
	if len(state.PeerCertificates) == 0 {
		return link.PeerID{}, fault.New(fault.Unauthenticated, "the peer has no certificate")
	}
	id, err := ca.PeerOf(state)
	if err != nil {
		return link.PeerID{}, err
	}
	var trust ca.Trust
	if err := trust.SetRegion(id.Region, roots); err != nil {
		return link.PeerID{}, err
	}
	if _, err := trust.Verify(state.PeerCertificates, time.Now()); err != nil {
		return link.PeerID{}, err
	}
	return link.PeerID{Region: id.Region, Server: id.Name}, nil
}
