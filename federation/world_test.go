package federation

import (
	"context"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/hex"
	"errors"
	"log/slog"
	"math/big"
	mathrand "math/rand/v2"
	"net"
	"net/url"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/quic-go/quic-go/testutils/simnet"

	pb "supercluster/api/gen/supercluster/v1"
	"supercluster/federation/link"
	"supercluster/internal/fault"
	"supercluster/region/record"
	"supercluster/registry"
)

// world is regions and a network between them: simulated in a bubble's virtual time, or loopback UDP.
type world struct {
	t      testing.TB
	udp    bool
	rtt    time.Duration
	tuning Tuning
	limits link.Limits
	log    *slog.Logger                                      // nil: none
	views  bool                                              // regions have registry views, and so write summaries
	wrap   func(own string, c net.PacketConn) net.PacketConn // of simulated sockets

	mu   sync.Mutex
	cuts map[[2]string]bool // by address; packets from the first to the second are lost
	// probesLost are the probes that are lost, although packets are not.
	probesLost map[[2]string]bool
	loss       float64 // of simulated packets
	random     *mathrand.Rand
	router     simnet.PerfectRouter
	regions    []*site
	open       []*server
}

// newWorld makes a simulated one. It is to be closed in its bubble.
func newWorld(t testing.TB, rtt time.Duration) *world {
	return &world{t: t, rtt: rtt, cuts: map[[2]string]bool{}, probesLost: map[[2]string]bool{}, tuning: Tuning{OfferEvery: 500 * time.Millisecond, RelayAfter: 2 * time.Second}}
}

// newUDP makes one of real sockets in real time.
func newUDP(t testing.TB, rtt time.Duration) *world {
	w := newWorld(t, rtt)
	w.udp, w.limits.Handshakes = true, 10_000 // all come from one address
	return w
}

func (w *world) close() {
	for _, s := range append([]*server(nil), w.open...) {
		s.stop()
	}
}

func (w *world) AddNode(addr net.Addr, r simnet.PacketReceiver) { w.router.AddNode(addr, r) }

func (w *world) SendPacket(p simnet.Packet) error {
	if !w.lost(p.From.String(), p.To.String()) && !w.unlucky() {
		_ = w.router.SendPacket(p) // nobody is there: as in a real network
	}
	return nil
}

func (w *world) unlucky() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.loss > 0 && w.random.Float64() < w.loss
}

// losesOne has the network lose one packet in so many.
func (w *world) losesOne(in int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.loss, w.random = 1/float64(in), mathrand.New(mathrand.NewPCG(1, 2))
}

func (w *world) lost(from, to string) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.cuts[[2]string{from, to}]
}

// oneWay loses, or no longer loses, what goes from a to b.
func (w *world) oneWay(a, b *site, lose bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, x := range a.servers {
		for _, y := range b.servers {
			w.cuts[[2]string{x.address, y.address}] = lose
		}
	}
}

func (w *world) cut(a, b *site)  { w.oneWay(a, b, true); w.oneWay(b, a, true) }
func (w *world) heal(a, b *site) { w.oneWay(a, b, false); w.oneWay(b, a, false) }

// isolate cuts a region from all others.
func (w *world) isolate(s *site, lose bool) {
	for _, o := range w.regions {
		if o != s {
			w.oneWay(s, o, lose)
			w.oneWay(o, s, lose)
		}
	}
}

// site is one region.
type site struct {
	w       *world
	n       int
	name    string
	id      [16]byte
	ca      *authority
	feed    ed25519.PrivateKey
	store   *twin
	servers []*server
	shared  []string // addresses of the region, when copies of it live
}

// server is one node of a region.
type server struct {
	*site
	node    string
	address string
	ahead   atomic.Int64 // nanoseconds of this node's clock before those of the region
	fed     *Federation
	stop    func()
}

// region makes a region whose one node runs.
func (w *world) region(name string) *site {
	w.t.Helper()
	s := w.plan(name)
	s.start("n1")
	s.store.lead("n1")
	return s
}

// plan makes a region of which nothing runs.
func (w *world) plan(name string) *site {
	w.t.Helper()
	seed := sha256.Sum256([]byte(name))
	s := &site{w: w, n: len(w.regions) + 1, name: name, ca: newAuthority(w.t, 1000*time.Hour), feed: ed25519.NewKeyFromSeed(seed[:]), store: newTwin(w.t)}
	if w.views {
		s.store.view = registry.Empty(name)
	}
	copy(s.id[:], seed[:])
	w.regions = append(w.regions, s)
	s.do(record.Op{Type: record.OpIdentity, Identity: &record.Identity{RegionID: s.id, Name: name}})
	return s
}

// start starts a node; one that ran before comes back at its address.
func (s *site) start(node string) *server {
	s.w.t.Helper()
	var me *server
	for _, x := range s.servers {
		if x.node == node {
			me = x
		}
	}
	if me == nil {
		me = &server{site: s, node: node}
		s.w.mu.Lock()
		s.servers = append(s.servers, me)
		s.w.mu.Unlock()
	}
	me.run()
	return me
}

// twinOf makes a second copy of a region: its identity and rows, at an address of its own.
func (w *world) cloneOf(s *site) *site {
	c := &site{w: w, n: 200 + s.n, name: s.name, id: s.id, ca: s.ca, feed: s.feed, store: newTwin(w.t)}
	s.store.mu.Lock()
	defer s.store.mu.Unlock()
	c.store.restore(s.store.rows)
	c.store.index = s.store.index
	w.mu.Lock()
	defer w.mu.Unlock()
	w.regions = append(w.regions, c)
	return c
}

// at gives a region that does not run yet its one node, at an address.
func (s *site) at(address string) {
	s.w.mu.Lock()
	defer s.w.mu.Unlock()
	s.servers = []*server{{site: s, node: "n1", address: address}}
}

func (me *server) run() {
	w, s := me.w, me.site
	w.mu.Lock()
	old := me.address
	w.mu.Unlock()
	socket, address, closeLink := me.socket(old)
	w.mu.Lock()
	me.address = address
	w.mu.Unlock()
	trust := &trust{roots: map[[16]byte]*x509.CertPool{}}
	_ = trust.set(s.id, [][]byte{s.ca.cert.Raw})
	own := s.ca.issue(w.t, link.PeerID{Region: s.id, Server: me.node})
	peers := trust.tls(own)
	first := &tls.Config{Certificates: []tls.Certificate{own}, ClientAuth: tls.RequireAnyClientCert, MinVersion: tls.VersionTLS13, InsecureSkipVerify: true}
	log := slog.New(slog.DiscardHandler)
	if w.log != nil {
		log = w.log
	}
	if os.Getenv("FEDERATION_TEST_LOG") != "" {
		log = slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelDebug})).With("at", s.name+"/"+me.node)
	}
	fed, err := New(Config{
		Store: replica{s.store, me.node}, Node: me.node, Socket: socket, Tuning: w.tuning, Log: log,
		Now:       func() time.Time { return s.store.now().Add(time.Duration(me.ahead.Load())) },
		Addresses: s.addresses, AddressOf: s.addressOf, ProbeAddresses: s.addresses, Probe: me.probe, View: s.viewer(),
		Identity: Identity{
			RegionID: s.id, Name: s.name, TrustDomain: s.name + ".test", FeedKey: s.feed.Public().(ed25519.PublicKey),
			Roots: [][]byte{s.ca.cert.Raw}, Fingerprint: fingerprint(s.ca.cert.Raw),
			Sign:         func(b []byte) (sig [64]byte) { copy(sig[:], ed25519.Sign(s.feed, b)); return sig },
			Fingerprints: fingerprints, SetRoots: trust.set, Claimed: claimed,
		},
		Link: link.Config{
			Server: peers, Client: func([16]byte) (*tls.Config, error) { return peers, nil }, Identify: identify, JoinTLS: first,
			Limits: w.limits,
		},
	})
	if err != nil {
		w.t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- fed.Run(ctx) }()
	<-fed.endpoint.Ready()
	s.store.mu.Lock()
	s.store.nodes[me.node] = fed
	s.store.mu.Unlock()
	me.fed = fed
	w.open = append(w.open, me)
	var once sync.Once
	me.stop = func() {
		once.Do(func() {
			s.store.mu.Lock()
			delete(s.store.nodes, me.node)
			s.store.mu.Unlock()
			cancel()
			select {
			case err := <-done:
				if err != nil {
					w.t.Errorf("%s: Run: %v", s.name, err)
				}
			case <-time.After(30 * time.Second):
				w.t.Errorf("%s: Run did not end", s.name)
			}
			closeLink()
		})
	}
}

// probe asks the probe listener at an address: one lives as long as its node, and is lost as packets are.
func (me *server) probe(ctx context.Context, address string) (time.Duration, error) {
	w := me.w
	w.mu.Lock()
	own := me.address
	var target *server
	for _, s := range w.regions {
		for _, x := range s.servers {
			if x.address == address {
				target = x
			}
		}
	}
	w.mu.Unlock()
	wait := time.After(w.rtt)
	if target == nil || w.lost(own, address) || w.lost(address, own) || w.deaf(own, address) {
		wait = nil
	}
	select {
	case <-wait:
	case <-ctx.Done():
		return 0, ctx.Err()
	}
	target.site.store.mu.Lock()
	defer target.site.store.mu.Unlock()
	if target.site.store.nodes[target.node] == nil {
		return 0, errors.New("connection refused")
	}
	return w.rtt, nil
}

// deaf reports whether the probe listener at an address is closed to another.
func (w *world) deaf(from, to string) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.probesLost[[2]string{from, to}]
}

// closeProbes closes, or opens, the probe listeners of b to a.
func (w *world) closeProbes(a, b *site, closed bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, x := range a.servers {
		for _, y := range b.servers {
			w.probesLost[[2]string{x.address, y.address}] = closed
		}
	}
}

// addresses are those that the region tells others.
func (s *site) addresses() (all []string) {
	s.w.mu.Lock()
	defer s.w.mu.Unlock()
	if s.shared != nil {
		return s.shared
	}
	for _, x := range s.servers {
		all = append(all, x.address)
	}
	return all
}

func (s *site) addressOf(node string) string {
	s.w.mu.Lock()
	defer s.w.mu.Unlock()
	for _, x := range s.servers {
		if x.node == node {
			return x.address
		}
	}
	return ""
}

func (s *site) share(all []string) {
	s.w.mu.Lock()
	defer s.w.mu.Unlock()
	s.shared = all
}

// socket opens the node's port on the network of the world; old is where it was before.
func (me *server) socket(old string) (net.PacketConn, string, func()) {
	w := me.w
	if w.udp {
		at := &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)}
		if old != "" {
			at, _ = net.ResolveUDPAddr("udp", old)
		}
		raw, err := net.ListenUDP("udp", at)
		if err != nil {
			w.t.Fatal(err)
		}
		own := raw.LocalAddr().String()
		// What arrives is judged as what leaves is; who sends delays.
		return link.NewShaper(raw, func(peer net.Addr) (bool, time.Duration) {
			return w.lost(own, peer.String()) || w.lost(peer.String(), own), w.rtt / 2
		}), own, func() {}
	}
	at := 0
	for i, x := range me.servers {
		if x == me {
			at = i
		}
	}
	addr := &net.UDPAddr{IP: net.IPv4(10, byte(at), byte(me.n>>8), byte(me.n)), Port: 8302}
	l := &simnet.SimulatedLink{Latency: w.rtt / 2, UploadPacket: w}
	var c net.PacketConn = simnet.NewBlockingSimConn(addr, l)
	l.Start()
	w.AddNode(addr, l)
	if w.wrap != nil {
		c = w.wrap(addr.String(), c)
	}
	return c, addr.String(), func() { _ = l.Close() }
}

// do applies an operation that must succeed.
func (s *site) do(op record.Op) record.Result {
	s.w.t.Helper()
	r, err := s.store.apply(op)
	if err != nil {
		s.w.t.Errorf("%s: operation %d: %v", s.name, op.Type, err)
	}
	return r
}

// document describes the region as an operator carries it to another.
func (s *site) document() *pb.Region {
	d := &pb.Region{
		Id: hex.EncodeToString(s.id[:]), Name: s.name, FeedKey: s.feed.Public().(ed25519.PublicKey), CaCertificates: [][]byte{s.ca.cert.Raw},
		TrustDomain: s.name + ".test",
	}
	for _, x := range s.servers {
		d.Addresses = append(d.Addresses, x.address)
	}
	return d
}

// knows makes another region a peer, and shows its default tenant under the own one.
func (s *site) knows(o *site) {
	s.w.t.Helper()
	value, err := registry.RegionValue(o.document())
	if err != nil {
		s.w.t.Fatal(err)
	}
	s.do(record.Op{Type: record.OpPeer, Peer: &record.Peer{RegionID: o.id, Value: value}})
	s.links(o)
}

func (s *site) links(o *site) {
	s.w.t.Helper()
	s.do(record.Op{Type: record.OpLink, Link: &record.Link{RegionID: o.id, Remote: o.id, Tenant: 1}})
}

// mesh makes every region the peer of every other.
func (w *world) mesh(all ...*site) {
	for _, a := range all {
		for _, b := range all {
			if a != b {
				a.knows(b)
			}
		}
	}
}

// federate declares the default namespace federated, with a home for what is placed.
func (s *site) federate(home *site) {
	s.w.t.Helper()
	s.place("", home)
}

func (s *site) place(prefix string, home *site) {
	s.w.t.Helper()
	s.placeIn(1, "default", prefix, home)
}

func (s *site) placeIn(namespace uint32, name, prefix string, home *site) {
	s.w.t.Helper()
	value, err := marshal(&pb.Placement{Tenant: "default", Namespace: name, Prefix: prefix, Home: hex.EncodeToString(home.id[:])})
	if err != nil {
		s.w.t.Fatal(err)
	}
	s.do(record.Op{Type: record.OpPlace, Place: &record.Place{
		Tenant: 1, Namespace: namespace, UID: s.id, Name: name, Prefix: prefix, Home: home.id, Value: value,
	}})
}

// three makes three regions in a mesh, whose placed records have the first as their home.
func (w *world) three() (a, b, c *site) {
	w.t.Helper()
	a, b, c = w.region("alpha"), w.region("beta"), w.region("gamma")
	w.mesh(a, b, c)
	for _, s := range w.regions {
		s.federate(a)
	}
	return a, b, c
}

// authority is the root CA of one region.
type authority struct {
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
}

// newAuthority makes a CA whose root holds for so long.
func newAuthority(t testing.TB, lives time.Duration) *authority {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "root"},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(lives),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return &authority{cert: cert, key: key}
}

func (a *authority) issue(t testing.TB, id link.PeerID) tls.Certificate {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	uri := &url.URL{Scheme: "spiffe", Host: "test", Path: "/region/" + hex.EncodeToString(id.Region[:]) + "/server/" + id.Server}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(2), NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(100 * time.Hour),
		KeyUsage: x509.KeyUsageDigitalSignature, URIs: []*url.URL{uri},
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth, x509.ExtKeyUsageServerAuth},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, a.cert, key.Public(), a.key)
	if err != nil {
		t.Fatal(err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}
}

// trust is what package secrets/ca keeps: the roots by which the servers of each region are trusted.
type trust struct {
	mu    sync.Mutex
	roots map[[16]byte]*x509.CertPool
}

func (t *trust) set(region [16]byte, der [][]byte) error {
	pool := x509.NewCertPool()
	for _, b := range der {
		c, err := x509.ParseCertificate(b)
		if err != nil {
			return err
		}
		pool.AddCert(c)
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.roots[region] = pool; len(der) == 0 {
		delete(t.roots, region)
	}
	return nil
}

func (t *trust) tls(own tls.Certificate) *tls.Config {
	return &tls.Config{
		Certificates: []tls.Certificate{own}, InsecureSkipVerify: true, ClientAuth: tls.RequireAnyClientCert,
		VerifyConnection: func(s tls.ConnectionState) error {
			id, err := identify(s)
			if err != nil {
				return err
			}
			t.mu.Lock()
			pool := t.roots[id.Region]
			t.mu.Unlock()
			if pool == nil {
				return errors.New("no such region")
			}
			return verified(s, pool)
		},
	}
}

func verified(s tls.ConnectionState, pool *x509.CertPool) error {
	_, err := s.PeerCertificates[0].Verify(x509.VerifyOptions{Roots: pool, KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageAny}})
	return err
}

func identify(s tls.ConnectionState) (id link.PeerID, err error) {
	if len(s.PeerCertificates) == 0 || len(s.PeerCertificates[0].URIs) != 1 {
		return id, errors.New("no URI")
	}
	parts := strings.Split(s.PeerCertificates[0].URIs[0].Path, "/")
	if len(parts) != 5 {
		return id, errors.New("another URI")
	}
	region, err := hex.DecodeString(parts[2])
	copy(id.Region[:], region)
	id.Server = parts[4]
	return id, err
}

func claimed(s tls.ConnectionState, der [][]byte) (link.PeerID, error) {
	id, err := identify(s)
	if err != nil {
		return id, err
	}
	t := trust{roots: map[[16]byte]*x509.CertPool{}}
	if err := t.set(id.Region, der); err != nil {
		return id, err
	}
	if t.roots[id.Region] == nil {
		return id, fault.New(fault.Invalid, "no roots")
	}
	return id, verified(s, t.roots[id.Region])
}

func fingerprint(der []byte) string {
	sum := sha256.Sum256(der)
	return hex.EncodeToString(sum[:])
}

func fingerprints(der [][]byte) (all []string) {
	for _, b := range der {
		all = append(all, fingerprint(b))
	}
	return all
}
