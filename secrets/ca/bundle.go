package ca

import (
	"crypto/x509"
	"encoding/pem"
	"time"

	"supercluster/internal/fault"
)

// maxRoots is how many roots a region has at most: the one in use, and others while it is changed.
const maxRoots = 8

// EncodeBundle gives the roots of a region as peers exchange them: certificates in PEM form.
func EncodeBundle(roots ...*x509.Certificate) []byte {
	var bundle []byte
	for _, root := range roots {
		bundle = append(bundle, pem.EncodeToMemory(&pem.Block{Type: pemCertificate, Bytes: root.Raw})...)
	}
	return bundle
}

// ParseBundle reads the roots of a region that a peer gave, and refuses what Trust would: a certificate of another
// region or one that is no root. One that has expired, or is not valid yet, is refused too.
func ParseBundle(bundle []byte, region [16]byte, now time.Time) ([]*x509.Certificate, error) {
	if len(bundle) > maxFile {
		return nil, fault.New(fault.TooLarge, "the bundle of region %s has more than %d bytes", RegionText(region), maxFile)
	}
	roots, err := decodeBundle("the bundle of region "+RegionText(region), bundle)
	if err != nil {
		return nil, err
	}
	for _, root := range roots {
		if _, err := checkRoot(root, region); err != nil {
			return nil, err
		}
		if err := checkTime("root "+Fingerprint(root), root, now); err != nil {
			return nil, err
		}
	}
	return roots, nil
}

// decodeBundle reads certificates in PEM form; anything else between them is refused.
func decodeBundle(what string, data []byte) ([]*x509.Certificate, error) {
	var roots []*x509.Certificate
	for {
		block, rest := pem.Decode(data)
		if block == nil {
			break
		}
		data = rest
		if block.Type != pemCertificate {
			return nil, fault.New(fault.Invalid, "%s holds a PEM block %q, not only certificates", what, block.Type)
		}
		cert, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			return nil, fault.New(fault.Invalid, "%s holds a certificate that does not parse", what)
		}
		if roots = append(roots, cert); len(roots) > maxRoots {
			return nil, fault.New(fault.TooLarge, "%s holds more than %d certificates", what, maxRoots)
		}
	}
	if len(roots) == 0 {
		return nil, fault.New(fault.Invalid, "%s holds no PEM certificate", what)
	}
	return roots, nil
}

// checkRoot refuses a certificate that is not a root of the region, and gives its trust domain.
func checkRoot(root *x509.Certificate, region [16]byte) (trustDomain string, err error) {
	refuse := func(why string, args ...any) (string, error) {
		return "", fault.New(fault.Invalid, "certificate "+Fingerprint(root)+" is no root of region "+RegionText(region)+": "+why, args...)
	}
	switch {
	case !root.BasicConstraintsValid || !root.IsCA || root.KeyUsage&x509.KeyUsageCertSign == 0:
		return refuse("it may not issue certificates")
	case root.CheckSignatureFrom(root) != nil:
		return refuse("it is not signed by itself")
	case root.Subject.SerialNumber != RegionText(region):
		return refuse("it is of region %q", root.Subject.SerialNumber)
	case len(root.URIs) != 1:
		return refuse("it has %d URI names, not one", len(root.URIs))
	}
	uri := root.URIs[0]
	if checkTrustDomain(uri.Host) != nil || uri.String() != "spiffe://"+uri.Host {
		return refuse("%q is not the SPIFFE id of a trust domain", uri)
	}
	return uri.Host, nil
}
