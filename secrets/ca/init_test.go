package ca

import (
	"bytes"
	"crypto/ed25519"
	"crypto/x509"
	"errors"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"supercluster/internal/fault"
)

func TestInit_WhatItWritesLoads(t *testing.T) {
	old := syscall.Umask(0o077)
	defer syscall.Umask(old)
	made, p := makeIdentity(t, "dc1", [16]byte{}, now)
	id, err := Load(p, now)
	if err != nil {
		t.Fatal(err)
	}
	if made.RegionID == [16]byte{} || id.RegionID != made.RegionID || id.Name != "dc1" || id.TrustDomain != DefaultTrustDomain ||
		!id.Created.Equal(now) || id.Feed.Public() != made.Feed.Public() || !id.Root.Equal(made.Root) {
		t.Errorf("made %v, loaded %v", made, id)
	}
	for path, mode := range map[string]os.FileMode{p.Region: 0o644, p.FeedKey: 0o600, p.CAKey: 0o600, p.CACert: 0o644} {
		if info, err := os.Stat(path); err != nil || info.Mode().Perm() != mode {
			t.Errorf("%s: %v, %v; want mode %o", path, info.Mode(), err, mode)
		}
	}
	if entries, err := os.ReadDir(filepath.Dir(p.Region)); err != nil || len(entries) != 4 {
		t.Errorf("the folder holds %v (%v), want four files", entries, err)
	}
	signature, public := id.Feed.Sign([]byte("head")), id.Feed.Public()
	if !ed25519.Verify(public[:], []byte("head"), signature[:]) || ed25519.Verify(public[:], []byte("other"), signature[:]) {
		t.Error("the signature of the feed key does not hold for what was signed, or holds for something else")
	}
}

func TestInit_Root(t *testing.T) {
	id, _ := makeIdentity(t, "dc1", regionA, now)
	root := id.Root
	if !root.NotAfter.Equal(now.AddDate(10, 0, 0)) || !root.NotBefore.Before(now) {
		t.Errorf("the root holds from %v to %v", root.NotBefore, root.NotAfter)
	}
	if !root.IsCA || !root.MaxPathLenZero || root.KeyUsage&x509.KeyUsageCertSign == 0 || !root.PermittedDNSDomainsCritical {
		t.Errorf("the root is %+v", root)
	}
	if len(root.URIs) != 1 || root.URIs[0].String() != "spiffe://supercluster.internal" || root.PermittedURIDomains[0] != "supercluster.internal" {
		t.Errorf("the root names %v and may name %v", root.URIs, root.PermittedURIDomains)
	}
	if root.Subject.SerialNumber != RegionText(regionA) {
		t.Errorf("the root is of region %q", root.Subject.SerialNumber)
	}
	if !regexp.MustCompile(`^([0-9a-f]{4}:){15}[0-9a-f]{4}$`).MatchString(id.Fingerprint()) {
		t.Errorf("fingerprint %q", id.Fingerprint())
	}
}

func TestInit_TwoRegionsShareNothing(t *testing.T) {
	a, pa := makeIdentity(t, "dc1", [16]byte{}, now)
	b, pb := makeIdentity(t, "dc1", [16]byte{}, now)
	if a.RegionID == b.RegionID || a.Feed.Public() == b.Feed.Public() || a.Fingerprint() == b.Fingerprint() {
		t.Error("two identities share an id or a key")
	}
	if bytes.Equal(get(t, pa.CAKey), get(t, pb.CAKey)) {
		t.Error("two identities share a CA key")
	}
}

// TestInit_NeverOverwrites puts each file, and each left part, where Init writes.
func TestInit_NeverOverwrites(t *testing.T) {
	for _, name := range []string{RegionFile, FeedKeyFile, CAKeyFile, CACertFile, CAKeyFile + ".new"} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			put(t, filepath.Join(dir, name), []byte("precious"), 0o600)
			put(t, filepath.Join(dir, "n1.yaml"), []byte("mine"), 0o600)
			_, err := Init(dir, Options{Name: "dc1", Now: now})
			wantFault(t, err, fault.Exists, filepath.Join(dir, name)+" exists, and an identity is never overwritten")
			if string(get(t, filepath.Join(dir, name))) != "precious" {
				t.Error("the file was overwritten")
			}
			if entries, err := os.ReadDir(dir); err != nil || len(entries) != 2 {
				t.Errorf("the folder holds %v (%v), want what was there", entries, err)
			}
		})
	}
	dir := t.TempDir()
	put(t, filepath.Join(dir, "n1.yaml"), []byte("mine"), 0o600)
	if _, err := Init(dir, Options{Name: "dc1", Now: now}); err != nil {
		t.Errorf("a folder with other files: %v", err)
	}
	if _, err := Init(dir, Options{Name: "dc1", Now: now}); !fault.Is(err, fault.Exists) {
		t.Errorf("the second time: error = %v", err)
	}
}

// TestWriteNew_OneThatAppearsMeanwhile is two programs that write at once: the link that comes second fails.
func TestWriteNew_OneThatAppearsMeanwhile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "ca.key")
	put(t, path, []byte("precious"), 0o600)
	err := newFile{path: path, data: []byte("new"), mode: 0o600}.write()
	wantFault(t, err, fault.Exists, "never overwritten")
	if string(get(t, path)) != "precious" {
		t.Error("the file was overwritten")
	}
}

func TestInit_Refusals(t *testing.T) {
	file := filepath.Join(t.TempDir(), "file")
	put(t, file, nil, 0o600)
	tests := []struct {
		name, dir string
		options   Options
		want      string
	}{
		{"no name", t.TempDir(), Options{}, "must be a DNS label"},
		{"bad name", t.TempDir(), Options{Name: "DC 1"}, "must be a DNS label"},
		{"bad trust domain", t.TempDir(), Options{Name: "dc1", TrustDomain: "A_b"}, "is not a trust domain"},
		{"an address", t.TempDir(), Options{Name: "dc1", TrustDomain: "10.0.0.1"}, "is not a trust domain"},
		{"a SPIFFE id", t.TempDir(), Options{Name: "dc1", TrustDomain: "spiffe://a"}, "is not a trust domain"},
		{"a long one", t.TempDir(), Options{Name: "dc1", TrustDomain: strings.Repeat("a.", 127) + "a"}, "is not a trust domain"},
		{"a file", file, Options{Name: "dc1"}, "cannot write"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			tt.options.Now = now
			_, err := Init(tt.dir, tt.options)
			wantFault(t, err, fault.Invalid, tt.want)
			if entries, err := os.ReadDir(tt.dir); err == nil && len(entries) > 0 || err != nil && !errors.Is(err, syscall.ENOTDIR) {
				t.Errorf("the folder holds %v (%v)", entries, err)
			}
		})
	}
}

func TestFingerprint_IsThatOfTheCertificate(t *testing.T) {
	id, p := makeIdentity(t, "dc1", regionA, now)
	loaded, err := Load(p, now.Add(time.Hour))
	if err != nil || loaded.Fingerprint() != id.Fingerprint() {
		t.Errorf("loaded %v (%v), made %v", loaded, err, id)
	}
	other, _ := makeIdentity(t, "dc1", regionA, now)
	if other.Fingerprint() == id.Fingerprint() {
		t.Error("two certificates have one fingerprint")
	}
}
