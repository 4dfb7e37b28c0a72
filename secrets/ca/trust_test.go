package ca

import (
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"io"
	"net"
	"net/url"
	"sync"
	"testing"
	"time"

	"supercluster/internal/fault"
)

// forge issues a certificate as the issuer would, but for a change.
func forge(t *testing.T, by *Identity, change func(*x509.Certificate)) *x509.Certificate {
	t.Helper()
	server, err := by.Server("n1").url()
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: newSerial(), Subject: pkix.Name{CommonName: "forged"}, URIs: []*url.URL{server}, BasicConstraintsValid: true,
		NotBefore: now.Add(-time.Hour), NotAfter: now.Add(time.Hour), KeyUsage: x509.KeyUsageDigitalSignature,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
	}
	change(template)
	return sign(t, template, by.Root, newEd25519(t).Public(), by.signer)
}

func named(t *testing.T, uris ...string) func(*x509.Certificate) {
	return func(c *x509.Certificate) {
		c.URIs = nil
		for _, text := range uris {
			u, err := url.Parse(text)
			if err != nil {
				t.Fatal(err)
			}
			c.URIs = append(c.URIs, u)
		}
	}
}

func trustOf(t *testing.T, ids ...*Identity) *Trust {
	t.Helper()
	trust := &Trust{}
	for _, id := range ids {
		if err := trust.SetRegion(id.RegionID, []*x509.Certificate{id.Root}); err != nil {
			t.Fatal(err)
		}
	}
	return trust
}

func TestVerify(t *testing.T) {
	a, _ := makeIdentity(t, "dc1", regionA, now)
	b, _ := makeIdentity(t, "dc2", regionB, now)
	stranger, _ := makeIdentity(t, "dc3", [16]byte{0xc}, now)
	const domain = "spiffe://supercluster.internal"
	ofA, ofB := a.Server("n1").String(), b.Server("n1").String()
	tests := []struct {
		name   string
		by     *Identity
		change func(*x509.Certificate)
		at     time.Duration
		want   string // "" is accepted
	}{
		{"a server", a, func(*x509.Certificate) {}, 0, ""},
		{"a server of a peer", b, func(*x509.Certificate) {}, 0, ""},
		{"a region that nobody peered with", stranger, func(*x509.Certificate) {}, 0, "is no peer of this one (peer with it first"},
		{"a peer's CA names a server of this region", b, named(t, ofA), 0, "does not come from a root of that region"},
		{"this region's CA names a server of a peer", a, named(t, ofB), 0, "does not come from a root of that region"},
		{"expired", a, func(*x509.Certificate) {}, time.Hour + time.Second, "the clock of this server shows 2026-11-22T13:00:01Z: it is over, or that clock is wrong (set the clocks of both right"},
		{"not valid yet", a, func(*x509.Certificate) {}, -time.Hour - time.Second, "the clock of this server shows 2026-11-22T10:59:59Z: it has not begun, or that clock is wrong"},
		{"for servers only", a, func(c *x509.Certificate) { c.ExtKeyUsage = c.ExtKeyUsage[:1] }, 0, "not for both ends"},
		{"for clients only", a, func(c *x509.Certificate) { c.ExtKeyUsage = c.ExtKeyUsage[1:] }, 0, "not for both ends"},
		{"for code", a, func(c *x509.Certificate) { c.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageCodeSigning} }, 0, "not for both ends"},
		{"for nothing", a, func(c *x509.Certificate) { c.ExtKeyUsage = nil }, 0, "not for both ends"},
		{"a CA", a, func(c *x509.Certificate) { c.IsCA = true }, 0, "is not one of a server"},
		{"no signatures", a, func(c *x509.Certificate) { c.KeyUsage = x509.KeyUsageCRLSign }, 0, "is not one of a server"},
		{"no URI", a, named(t), 0, "has one URI name, and this one has 0"},
		{"two URIs", a, named(t, ofA, ofB), 0, "has one URI name, and this one has 2"},
		{"another trust domain", a, named(t, "spiffe://example.org/region/"+RegionText(regionA)+"/server/n1"), 0, `trust domain "example.org" is not`},
		{"below the trust domain", a, named(t, "spiffe://x.supercluster.internal/region/"+RegionText(regionA)+"/server/n1"), 0, "is not that of the region's roots"},
		{"not SPIFFE", a, named(t, "https://supercluster.internal/region/"+RegionText(regionA)+"/server/n1"), 0, "is not one of a server"},
		{"the id of a service", a, named(t, domain+"/ns/default/sa/web"), 0, "is not one of a server"},
		{"an id with more behind", a, named(t, ofA+"/x"), 0, "is not one of a server"},
		{"a short region id", a, named(t, domain+"/region/0a/server/n1"), 0, "is not one of a server"},
		{"an upper-case region id", a, named(t, domain+"/region/0A000000000000000000000000000001/server/n1"), 0, "is not one of a server"},
		{"a query", a, named(t, ofA+"?x=1"), 0, "is not one of a server"},
	}
	trust := trustOf(t, a, b)
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			id, err := trust.Verify([]*x509.Certificate{forge(t, tt.by, tt.change), tt.by.Root}, now.Add(tt.at))
			if tt.want != "" {
				wantFault(t, err, fault.Unauthenticated, tt.want)
				return
			}
			if err != nil || id != tt.by.Server("n1") {
				t.Errorf("%v, %v; want %v", id, err, tt.by.Server("n1"))
			}
		})
	}
	_, err := trust.Verify(nil, now)
	wantFault(t, err, fault.Unauthenticated, "no certificate")
}

// TestVerify_NoCertificateBetween: a server can not issue for others, whatever its certificate says.
func TestVerify_NoCertificateBetween(t *testing.T) {
	a, _ := makeIdentity(t, "dc1", regionA, now)
	key := newEd25519(t)
	between := sign(t, &x509.Certificate{
		SerialNumber: newSerial(), Subject: pkix.Name{CommonName: "between"}, NotBefore: now.Add(-time.Hour), NotAfter: now.Add(time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	}, a.Root, key.Public(), a.signer)
	leaf := forge(t, &Identity{RegionID: regionA, TrustDomain: a.TrustDomain, Root: between, signer: seal(key)}, func(*x509.Certificate) {})
	_, err := trustOf(t, a).Verify([]*x509.Certificate{leaf, between, a.Root}, now)
	wantFault(t, err, fault.Unauthenticated, "does not come from a root of that region")
}

// TestVerify_ClocksAnHourOff: servers trust each other while the clock of one is an hour off, also that of one an hour ahead and one
// an hour behind, from the begin of their certificates to the end.
func TestVerify_ClocksAnHourOff(t *testing.T) {
	a, _ := makeIdentity(t, "dc1", regionA, now)
	b, _ := makeIdentity(t, "dc2", regionB, now)
	trust := trustOf(t, a, b)
	for _, off := range []time.Duration{-2 * time.Hour, -time.Hour, time.Hour, 2 * time.Hour} {
		for _, since := range []time.Duration{0, 16 * time.Hour} { // made, and about to be renewed
			theirs := makeIssuer(t, b, "n1", at(now.Add(off))).Certificate().Leaf
			if id, err := trust.Verify([]*x509.Certificate{theirs}, now.Add(since)); err != nil || id != b.Server("n1") {
				t.Errorf("made by a clock %v ahead, after %v: %v, %v", off, since, id, err)
			}
		}
	}
	far := makeIssuer(t, b, "n1", at(now.Add(3*time.Hour))).Certificate().Leaf
	_, err := trust.Verify([]*x509.Certificate{far}, now)
	wantFault(t, err, fault.Unauthenticated, "holds from 2026-11-22T12:55:00Z to 2026-11-23T15:00:00Z, and the clock of this server shows 2026-11-22T12:00:00Z: it has not begun")
}

func TestVerify_ExpiredRoot(t *testing.T) {
	a, _ := makeIdentity(t, "dc1", regionA, now)
	end := a.Root.NotAfter
	leaf := forge(t, a, func(c *x509.Certificate) { c.NotAfter = end.Add(time.Hour) })
	if _, err := trustOf(t, a).Verify([]*x509.Certificate{leaf}, end); err != nil {
		t.Error(err)
	}
	_, err := trustOf(t, a).Verify([]*x509.Certificate{leaf}, end.Add(time.Minute))
	wantFault(t, err, fault.Unauthenticated, "that holds now")
}

// TestTrust_Rotation: while a CA is changed both roots hold, then only the new one.
func TestTrust_Rotation(t *testing.T) {
	old, _ := makeIdentity(t, "dc1", regionA, now)
	next, _ := makeIdentity(t, "dc1", regionA, now)
	fromOld := []*x509.Certificate{makeIssuer(t, old, "n1", at(now)).Certificate().Leaf}
	fromNext := []*x509.Certificate{makeIssuer(t, next, "n1", at(now)).Certificate().Leaf}
	trust := trustOf(t, old)
	for _, step := range []struct {
		set       []*x509.Certificate
		old, next bool
	}{
		{[]*x509.Certificate{old.Root}, true, false},
		{[]*x509.Certificate{old.Root, next.Root}, true, true},
		{[]*x509.Certificate{next.Root}, false, true},
	} {
		if err := trust.SetRegion(regionA, step.set); err != nil {
			t.Fatal(err)
		}
		_, errOld := trust.Verify(fromOld, now)
		_, errNext := trust.Verify(fromNext, now)
		if (errOld == nil) != step.old || (errNext == nil) != step.next {
			t.Errorf("with %d roots: old %v, new %v", len(step.set), errOld, errNext)
		}
	}
	trust.RemoveRegion(regionA)
	_, err := trust.Verify(fromNext, now)
	wantFault(t, err, fault.Unauthenticated, "is no peer of this one")
}

func TestSetRegion_Refusals(t *testing.T) {
	a, _ := makeIdentity(t, "dc1", regionA, now)
	b, _ := makeIdentity(t, "dc2", regionB, now)
	key := newEd25519(t)
	root := func(change func(*x509.Certificate)) *x509.Certificate {
		c := &x509.Certificate{
			SerialNumber: newSerial(), Subject: pkix.Name{SerialNumber: RegionText(regionA)}, NotBefore: now, NotAfter: now.Add(time.Hour),
			IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign, URIs: []*url.URL{{Scheme: "spiffe", Host: "example.org"}},
		}
		change(c)
		return sign(t, c, c, key.Public(), key)
	}
	many := make([]*x509.Certificate, maxRoots+1)
	tests := []struct {
		name  string
		roots []*x509.Certificate
		want  string
	}{
		{"none", nil, "has 1 to 8 roots, not 0"},
		{"too many", many, "has 1 to 8 roots, not 9"},
		{"of another region", []*x509.Certificate{a.Root, b.Root}, `it is of region "` + RegionText(regionB) + `"`},
		{"a server's", []*x509.Certificate{makeIssuer(t, a, "n1", at(now)).Certificate().Leaf}, "it may not issue certificates"},
		{"no CA", []*x509.Certificate{root(func(c *x509.Certificate) { c.IsCA = false })}, "it may not issue certificates"},
		{"may not sign", []*x509.Certificate{root(func(c *x509.Certificate) { c.KeyUsage = x509.KeyUsageCRLSign })}, "it may not issue certificates"},
		{"no trust domain", []*x509.Certificate{root(func(c *x509.Certificate) { c.URIs = nil })}, "it has 0 URI names"},
		{"an id with a path", []*x509.Certificate{root(named(t, "spiffe://example.org/x"))}, "is not the SPIFFE id of a trust domain"},
		{"not SPIFFE", []*x509.Certificate{root(named(t, "https://example.org"))}, "is not the SPIFFE id of a trust domain"},
		{"signed by another", []*x509.Certificate{sign(t, &x509.Certificate{
			SerialNumber: newSerial(), Subject: pkix.Name{SerialNumber: RegionText(regionA)}, NotBefore: now, NotAfter: now.Add(time.Hour),
			IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
		}, b.Root, key.Public(), b.signer)}, "it is not signed by itself"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			trust := trustOf(t, a)
			wantFault(t, trust.SetRegion(regionA, tt.roots), fault.Invalid, tt.want)
			if _, err := trust.Verify([]*x509.Certificate{makeIssuer(t, a, "n1", at(now)).Certificate().Leaf}, now); err != nil {
				t.Errorf("a refused change changed something: %v", err)
			}
		})
	}
	if err := (&Trust{}).SetRegion(regionA, []*x509.Certificate{root(func(*x509.Certificate) {})}); err != nil {
		t.Errorf("a root that another program made: %v", err)
	}
}

func TestBundle(t *testing.T) {
	a, p := makeIdentity(t, "dc1", regionA, now)
	next, _ := makeIdentity(t, "dc1", regionA, now)
	b, _ := makeIdentity(t, "dc2", regionB, now)
	roots, err := ParseBundle(EncodeBundle(a.Root, next.Root), regionA, now)
	if err != nil || len(roots) != 2 || !roots[0].Equal(a.Root) || !roots[1].Equal(next.Root) {
		t.Errorf("a bundle of two roots reads as %v, %v", roots, err)
	}
	tests := []struct {
		name   string
		bundle []byte
		at     time.Time
		kind   fault.Kind
		want   string
	}{
		{"empty", nil, now, fault.Invalid, "holds no PEM certificate"},
		{"huge", make([]byte, maxFile+1), now, fault.TooLarge, "more than 65536 bytes"},
		{"too many", EncodeBundle(a.Root, a.Root, a.Root, a.Root, a.Root, a.Root, a.Root, a.Root, a.Root), now, fault.TooLarge, "more than 8 certificates"},
		{"a key in it", append(EncodeBundle(a.Root), get(t, p.CAKey)...), now, fault.Invalid, `holds a PEM block "PRIVATE KEY", not only certificates`},
		{"of another region", EncodeBundle(a.Root, b.Root), now, fault.Invalid, "is no root of region " + RegionText(regionA)},
		{"expired", EncodeBundle(a.Root), a.Root.NotAfter.Add(time.Second), fault.Invalid, "root " + a.Fingerprint() + " expired at 2036-11-22T12:00:00Z"},
		{"not valid yet", EncodeBundle(a.Root), now.Add(-3 * time.Hour), fault.Invalid, "is not valid before"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			_, err := ParseBundle(tt.bundle, regionA, tt.at)
			wantFault(t, err, tt.kind, tt.want)
		})
	}
}

// TestHandshake checks who can talk to whom, with real handshakes.
func TestHandshake(t *testing.T) {
	a, _ := makeIdentity(t, "dc1", regionA, now)
	b, _ := makeIdentity(t, "dc2", regionB, now)
	ownA, ownB := makeIssuer(t, a, "n1", at(now)), makeIssuer(t, b, "n2", at(now))
	late := makeIssuer(t, b, "n2", at(now))
	late.cfg.Now = at(now.Add(25 * time.Hour))
	both, onlyA, onlyB := trustOf(t, a, b), trustOf(t, a), trustOf(t, b)
	tests := []struct {
		name           string
		server, client *tls.Config
		ok             bool
	}{
		{"peers", both.ServerTLS(ownA, "sc"), both.ClientTLS(ownB, regionA, "sc"), true},
		{"the server does not know the client's region", onlyA.ServerTLS(ownA, "sc"), both.ClientTLS(ownB, regionA, "sc"), false},
		{"the client does not know the server's region", both.ServerTLS(ownA, "sc"), onlyB.ClientTLS(ownB, regionA, "sc"), false},
		{"another region answers", both.ServerTLS(ownA, "sc"), both.ClientTLS(ownB, regionB, "sc"), false},
		{"another protocol", both.ServerTLS(ownA, "sc"), both.ClientTLS(ownB, regionA, "h2"), false},
		{"no protocol", both.ServerTLS(ownA, "sc"), both.ClientTLS(ownB, regionA), false},
		{"any protocol", both.ServerTLS(ownA), both.ClientTLS(ownB, regionA), true},
		{"no certificate", both.ServerTLS(ownA), &tls.Config{InsecureSkipVerify: true, MinVersion: tls.VersionTLS13}, false},
		{"TLS 1.2", both.ServerTLS(ownA), &tls.Config{InsecureSkipVerify: true, MaxVersion: tls.VersionTLS12, GetClientCertificate: ownB.GetClientCertificate}, false},
		{"the client's clock is past the certificate of the server", both.ServerTLS(ownA), both.ClientTLS(late, regionA), false},
		{"the server's clock is past the certificate of the client", both.ServerTLS(late), both.ClientTLS(ownA, regionB), false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			peer, err := handshake(t, tt.server, tt.client)
			if (err == nil) != tt.ok {
				t.Fatalf("error = %v, want success %v", err, tt.ok)
			}
			if tt.ok && peer != b.Server("n2") {
				t.Errorf("the server saw %v", peer)
			}
		})
	}
}

// handshake connects both sides, sends a byte each way, and gives the client that the server saw.
func handshake(t *testing.T, server, client *tls.Config) (ServerID, error) {
	t.Helper()
	left, right := sockets(t)
	s, c := tls.Server(left, server), tls.Client(right, client)
	done := make(chan error, 1)
	go func() {
		_, err := io.ReadFull(s, make([]byte, 1))
		if err == nil {
			_, err = s.Write([]byte("y"))
		}
		left.Close()
		done <- err
	}()
	_, err := c.Write([]byte("x"))
	if err == nil {
		_, err = io.ReadFull(c, make([]byte, 1))
	}
	if errClient, errServer := err, <-done; errClient != nil || errServer != nil {
		return ServerID{}, errors.Join(errClient, errServer)
	}
	if c.ConnectionState().DidResume || s.ConnectionState().NegotiatedProtocol != c.ConnectionState().NegotiatedProtocol {
		t.Error("a session was resumed, or the protocols differ")
	}
	return PeerOf(s.ConnectionState())
}

// sockets gives both ends of a connection.
func sockets(t *testing.T) (left, right net.Conn) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	if right, err = net.Dial("tcp", l.Addr().String()); err != nil {
		t.Fatal(err)
	}
	if left, err = l.Accept(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { left.Close(); right.Close() })
	return left, right
}

// TestTLS_NoTickets: a client that keeps sessions gets none.
func TestTLS_NoTickets(t *testing.T) {
	a, _ := makeIdentity(t, "dc1", regionA, now)
	own, trust := makeIssuer(t, a, "n1", at(now)), trustOf(t, a)
	client := trust.ClientTLS(own, regionA)
	client.SessionTicketsDisabled, client.ClientSessionCache, client.ServerName = false, tls.NewLRUClientSessionCache(4), "n1"
	for range 2 {
		if _, err := handshake(t, trust.ServerTLS(own), client); err != nil {
			t.Fatal(err)
		}
	}
}

func TestPeerOf_NoCertificate(t *testing.T) {
	_, err := PeerOf(tls.ConnectionState{})
	wantFault(t, err, fault.Unauthenticated, "no certificate")
}

// TestTrust_IsSafeForConcurrentUse is for the race detector.
func TestTrust_IsSafeForConcurrentUse(t *testing.T) {
	a, _ := makeIdentity(t, "dc1", regionA, now)
	b, _ := makeIdentity(t, "dc2", regionB, now)
	trust := trustOf(t, a)
	leaf := []*x509.Certificate{makeIssuer(t, a, "n1", at(now)).Certificate().Leaf}
	var all sync.WaitGroup
	for range 4 {
		all.Go(func() {
			for range 50 {
				if _, err := trust.Verify(leaf, now); err != nil {
					t.Error(err)
				}
				_ = trust.SetRegion(regionB, []*x509.Certificate{b.Root})
				trust.RemoveRegion(regionB)
			}
		})
	}
	all.Wait()
}

func FuzzParseServerID(f *testing.F) {
	f.Add("spiffe://supercluster.internal/region/0a000000000000000000000000000001/server/n1")
	f.Add("spiffe://a/region//server/")
	f.Fuzz(func(t *testing.T, text string) {
		id, err := ParseServerID(text)
		if err == nil && id.String() != text {
			t.Errorf("%q reads as %q", text, id)
		}
		if err != nil && !fault.Is(err, fault.Invalid) {
			t.Errorf("error = %v, want an invalid one", err)
		}
	})
}

func FuzzParseBundle(f *testing.F) {
	id, err := Init(f.TempDir(), Options{Name: "dc1", RegionID: regionA, Now: now})
	if err != nil {
		f.Fatal(err)
	}
	f.Add(EncodeBundle(id.Root))
	noise := make([]byte, 64)
	_, _ = rand.Read(noise)
	f.Add(noise)
	f.Fuzz(func(t *testing.T, data []byte) {
		if _, err := ParseBundle(data, regionA, now); err != nil && !fault.Is(err, fault.Invalid) && !fault.Is(err, fault.TooLarge) {
			t.Errorf("error = %v, want an invalid one", err)
		}
	})
}
