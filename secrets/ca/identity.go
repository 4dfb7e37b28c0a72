package ca

import (
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"log/slog"
	"strings"
	"time"
)

// Identity is the loaded identity of a region. It must not be changed.
type Identity struct {
	// RegionID is the id, Name the name of the region.
	RegionID [16]byte
	Name     string
	// TrustDomain begins the SPIFFE ids of the region's servers.
	TrustDomain string
	// Created is when the identity was made.
	Created time.Time
	// Root is the CA certificate, which peers get.
	Root *x509.Certificate
	// Feed signs the region's feed.
	Feed FeedKey

	signer sealed
}

// Fingerprint names the CA certificate, for people who compare it over another channel.
func (id *Identity) Fingerprint() string { return Fingerprint(id.Root) }

// Server gives the id of a server of the region.
func (id *Identity) Server(name string) ServerID {
	return ServerID{TrustDomain: id.TrustDomain, Region: id.RegionID, Name: name}
}

// String says who the region is.
func (id *Identity) String() string {
	return "region " + id.Name + " (" + RegionText(id.RegionID) + "), CA " + id.Fingerprint()
}

// GoString says who the region is.
func (id *Identity) GoString() string { return "ca.Identity(" + id.String() + ")" }

// LogValue gives name, id and fingerprint.
func (id *Identity) LogValue() slog.Value {
	return slog.GroupValue(
		slog.String("region", id.Name), slog.String("id", RegionText(id.RegionID)), slog.String("ca", id.Fingerprint()),
	)
}

// Fingerprint is the SHA-256 of a certificate, in groups of four hex digits.
func Fingerprint(cert *x509.Certificate) string {
	const group = 4
	sum := sha256.Sum256(cert.Raw)
	digits := hex.EncodeToString(sum[:])
	var b strings.Builder
	for i := 0; i < len(digits); i += group {
		if i > 0 {
			b.WriteByte(':')
		}
		b.WriteString(digits[i : i+group])
	}
	return b.String()
}
