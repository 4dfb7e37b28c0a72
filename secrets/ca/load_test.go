package ca

import (
	"crypto/elliptic"
	"crypto/x509"
	"encoding/pem"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"supercluster/internal/fault"
)

// badFile is a way in which the files of an identity are wrong.
type badFile struct {
	name string
	// spoil changes the files, or names others; b is the identity of another region.
	spoil func(t *testing.T, p *Paths, b Paths)
	// want is in the error; FILE stands for the path that it must name.
	want string
	file func(p Paths) string
}

func feedKeyOf(p Paths) string { return p.FeedKey }
func caKeyOf(p Paths) string   { return p.CAKey }
func caCertOf(p Paths) string  { return p.CACert }
func regionOf(p Paths) string  { return p.Region }

func mode(of func(Paths) string, m os.FileMode) func(*testing.T, *Paths, Paths) {
	return func(t *testing.T, p *Paths, _ Paths) {
		if err := os.Chmod(of(*p), m); err != nil {
			t.Fatal(err)
		}
	}
}

func remove(of func(Paths) string) func(*testing.T, *Paths, Paths) {
	return func(t *testing.T, p *Paths, _ Paths) {
		if err := os.Remove(of(*p)); err != nil {
			t.Fatal(err)
		}
	}
}

func replace(of func(Paths) string, data func(t *testing.T, p Paths) []byte) func(*testing.T, *Paths, Paths) {
	return func(t *testing.T, p *Paths, _ Paths) { put(t, of(*p), data(t, *p), 0o600) }
}

func edit(old, new string) func(*testing.T, *Paths, Paths) {
	return replace(regionOf, func(t *testing.T, p Paths) []byte {
		text := string(get(t, p.Region))
		if !strings.Contains(text, old) {
			t.Fatalf("%q is not in %s", old, text)
		}
		return []byte(strings.Replace(text, old, new, 1))
	})
}

func badKeyFiles() []badFile {
	return []badFile{
		{"no feed key", remove(feedKeyOf), "cannot read feed key FILE (`supercluster region init` makes it", feedKeyOf},
		{"no CA key", remove(caKeyOf), "cannot read CA key FILE (`supercluster region init` makes it", caKeyOf},
		{"feed key that the group reads", mode(feedKeyOf, 0o640), "feed key FILE has mode 0640: others can use it (chmod 600 FILE)", feedKeyOf},
		{"CA key that all read", mode(caKeyOf, 0o604), "CA key FILE has mode 0604: others can use it (chmod 600 FILE)", caKeyOf},
		{"CA key that all write", mode(caKeyOf, 0o602), "chmod 600 FILE", caKeyOf},
		{"a folder", func(_ *testing.T, p *Paths, _ Paths) { p.CAKey = filepath.Dir(p.CAKey) }, "CA key FILE is no regular file", caKeyOf},
		{"a pipe", func(t *testing.T, p *Paths, _ Paths) {
			p.FeedKey += ".pipe"
			if err := syscall.Mkfifo(p.FeedKey, 0o600); err != nil {
				t.Fatal(err)
			}
		}, "feed key FILE is no regular file", feedKeyOf},
		{"a huge file", replace(caKeyOf, func(*testing.T, Paths) []byte { return make([]byte, maxFile+1) }), "CA key FILE has more than 65536 bytes", caKeyOf},
		{"no PEM", replace(feedKeyOf, func(*testing.T, Paths) []byte { return []byte("secret") }), "feed key FILE holds no PEM block", feedKeyOf},
		{"a cut key", replace(caKeyOf, func(t *testing.T, p Paths) []byte {
			block, _ := pem.Decode(get(t, p.CAKey))
			return pem.EncodeToMemory(&pem.Block{Type: pemKey, Bytes: block.Bytes[:len(block.Bytes)-7]})
		}), "CA key FILE is damaged", caKeyOf},
		{"two keys", replace(feedKeyOf, func(t *testing.T, p Paths) []byte {
			return append(get(t, p.FeedKey), get(t, p.FeedKey)...)
		}), "feed key FILE holds more than one PEM block", feedKeyOf},
		{"a certificate as key", func(t *testing.T, p *Paths, _ Paths) {
			p.CAKey = p.CACert
			mode(caCertOf, 0o600)(t, p, *p)
		}, `CA key FILE holds a PEM block "CERTIFICATE", not "PRIVATE KEY"`, caKeyOf},
		{"a feed key of the wrong type", func(_ *testing.T, p *Paths, _ Paths) { p.FeedKey = p.CAKey }, "feed key FILE is an ECDSA key with P-256; a feed key is an ed25519 key", feedKeyOf},
		{"a feed key that is RSA", replace(feedKeyOf, func(t *testing.T, _ Paths) []byte { return keyPEM(t, newRSA(t)) }), "feed key FILE is a key of another type", feedKeyOf},
		{"a CA key that is RSA", replace(caKeyOf, func(t *testing.T, _ Paths) []byte { return keyPEM(t, newRSA(t)) }), "CA key FILE is a key of another type; a CA key is ECDSA", caKeyOf},
		{"a CA key on P-224", replace(caKeyOf, func(t *testing.T, _ Paths) []byte { return keyPEM(t, newECDSA(t, elliptic.P224())) }), "CA key FILE is an ECDSA key with P-224; a CA key is ECDSA with P-256", caKeyOf},
		{"the feed key as CA key", func(_ *testing.T, p *Paths, _ Paths) { p.CAKey = p.FeedKey }, "CA key FILE is not the key of CA certificate", caKeyOf},
		{"the CA key of another region", func(_ *testing.T, p *Paths, b Paths) { p.CAKey = b.CAKey }, "CA key FILE is not the key of CA certificate", caKeyOf},
		{"the feed key of another region", func(_ *testing.T, p *Paths, b Paths) { p.FeedKey = b.FeedKey }, "feed key FILE is not that of region file", feedKeyOf},
	}
}

func badPublicFiles() []badFile {
	return []badFile{
		{"no CA certificate", remove(caCertOf), "cannot read CA certificate FILE (`supercluster region init` makes it", caCertOf},
		{"no region file", remove(regionOf), "cannot read region file FILE (`supercluster region init` makes it", regionOf},
		{"the CA of another region", func(_ *testing.T, p *Paths, b Paths) { p.CAKey, p.CACert = b.CAKey, b.CACert }, "is no root of region", regionOf},
		{"a CA certificate that is a key", func(_ *testing.T, p *Paths, _ Paths) { p.CACert = p.CAKey }, `CA certificate FILE holds a PEM block "PRIVATE KEY"`, caCertOf},
		{"no certificate", replace(caCertOf, func(*testing.T, Paths) []byte { return []byte("text") }), "CA certificate FILE holds no PEM certificate", caCertOf},
		{"two certificates", replace(caCertOf, func(t *testing.T, p Paths) []byte {
			return append(get(t, p.CACert), get(t, p.CACert)...)
		}), "CA certificate FILE holds 2 certificates, not one", caCertOf},
		{"a damaged certificate", replace(caCertOf, func(*testing.T, Paths) []byte {
			return pem.EncodeToMemory(&pem.Block{Type: pemCertificate, Bytes: []byte("x")})
		}), "CA certificate FILE holds a certificate that does not parse", caCertOf},
		{"the CA key as region file", func(_ *testing.T, p *Paths, _ Paths) { p.Region = p.CAKey }, "region file FILE: is a key or a certificate", regionOf},
		{"not YAML", replace(regionOf, func(*testing.T, Paths) []byte { return []byte("id: [") }), "region file FILE: does not parse as YAML", regionOf},
		{"an empty one", replace(regionOf, func(*testing.T, Paths) []byte { return nil }), "region file FILE: id is not 32 hex digits", regionOf},
		{"id 0", edit(RegionText(regionA), strings.Repeat("0", 32)), "region file FILE: id is not", regionOf},
		{"another id", edit(RegionText(regionA), RegionText(regionB)), "is no root of region " + RegionText(regionB), caCertOf},
		{"a bad name", edit(`"dc1"`, `"DC 1"`), "region file FILE: name is not", regionOf},
		{"a bad trust domain", edit(DefaultTrustDomain, "a/b"), "region file FILE: trust-domain is not", regionOf},
		{"another trust domain", edit(DefaultTrustDomain, "example.org"), `CA certificate FILE is of trust domain "supercluster.internal", the region file says "example.org"`, caCertOf},
		{"a bad time", edit("2026-", "x-"), "region file FILE: created is not", regionOf},
		{"a bad public key", edit("feed-key: \"", "feed-key: \"00"), "region file FILE: feed-key is not 64 hex digits", regionOf},
	}
}

func TestLoad_BadFiles(t *testing.T) {
	for _, tt := range append(badKeyFiles(), badPublicFiles()...) {
		t.Run(tt.name, func(t *testing.T) {
			_, p := makeIdentity(t, "dc1", regionA, now)
			_, b := makeIdentity(t, "dc2", regionB, now)
			tt.spoil(t, &p, b)
			_, err := Load(p, now)
			wantFault(t, err, fault.Invalid, strings.ReplaceAll(tt.want, "FILE", tt.file(p)))
		})
	}
}

// TestLoad_ForeignOwner: who owns a file can read it whatever its mode is.
func TestLoad_ForeignOwner(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("SKIP: only root can give files away: run the test as root")
	}
	_, p := makeIdentity(t, "dc1", regionA, now)
	if err := os.Chown(p.CAKey, 12345, -1); err != nil {
		t.Fatal(err)
	}
	_, err := Load(p, now)
	wantFault(t, err, fault.Invalid, "CA key "+p.CAKey+" belongs to user 12345, and this process is user 0 (chown 0 "+p.CAKey+")")
}

func TestLoad_Expiry(t *testing.T) {
	id, p := makeIdentity(t, "dc1", regionA, now)
	end := id.Root.NotAfter
	for _, moment := range []time.Time{now, id.Root.NotBefore, end} {
		if _, err := Load(p, moment); err != nil {
			t.Errorf("at %v: %v", moment, err)
		}
	}
	_, err := Load(p, end.Add(time.Second))
	wantFault(t, err, fault.Invalid, "CA certificate "+p.CACert+" expired at 2036-11-22T12:00:00Z (is the clock of this machine right?")
	_, err = Load(p, id.Root.NotBefore.Add(-time.Second))
	wantFault(t, err, fault.Invalid, "is not valid before 2026-11-22T09:55:00Z")
}

func TestLoad_KeysMayBeLinksAndStricter(t *testing.T) {
	id, p := makeIdentity(t, "dc1", regionA, now)
	mode(caKeyOf, 0o400)(t, &p, p)
	link := filepath.Join(t.TempDir(), "feed")
	if err := os.Symlink(p.FeedKey, link); err != nil {
		t.Fatal(err)
	}
	p.FeedKey = link
	if loaded, err := Load(p, now); err != nil || loaded.RegionID != id.RegionID {
		t.Errorf("%v, %v", loaded, err)
	}
}

func TestLoad_ACAKeyMayBeEd25519(t *testing.T) {
	id, p := makeIdentity(t, "dc1", regionA, now)
	key := newEd25519(t)
	id.signer = seal(key)
	root, err := id.makeRoot()
	if err != nil {
		t.Fatal(err)
	}
	put(t, p.CAKey, keyPEM(t, key), 0o600)
	put(t, p.CACert, EncodeBundle(root), 0o644)
	loaded, err := Load(p, now)
	if err != nil {
		t.Fatal(err)
	}
	var trust Trust
	if err := trust.SetRegion(regionA, []*x509.Certificate{loaded.Root}); err != nil {
		t.Fatal(err)
	}
	leaf := makeIssuer(t, loaded, "n1", at(now)).Certificate().Leaf
	if _, err := trust.Verify([]*x509.Certificate{leaf}, now); err != nil {
		t.Error(err)
	}
}

func FuzzDescription(f *testing.F) {
	f.Add([]byte("id: 0a000000000000000000000000000001\nname: dc1\n"))
	f.Add([]byte("a: &a [*a]\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		if _, _, err := parseDescription("region.yaml", data); err != nil && !fault.Is(err, fault.Invalid) {
			t.Errorf("error = %v, want an invalid one", err)
		}
	})
}
