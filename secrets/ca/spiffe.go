package ca

import (
	"encoding/hex"
	"net/netip"
	"net/url"
	"regexp"

	"github.com/spiffe/go-spiffe/v2/spiffeid"

	"supercluster/internal/fault"
)

// DefaultTrustDomain is the trust domain of a region that names none.
const DefaultTrustDomain = "supercluster.internal"

// ServerID is who a server is, the same in every region: spiffe://TRUST-DOMAIN/region/REGION-ID/server/NAME.
type ServerID struct {
	TrustDomain string
	Region      [16]byte
	Name        string
}

// label is a DNS label: names of regions and servers stand in DNS and in certificates.
var label = regexp.MustCompile(`^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?$`)

// domain is a DNS name, since name constraints of certificates compare DNS names.
var domain = regexp.MustCompile(`^([a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?\.)*[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?$`)

// serverPath takes the path of a server's SPIFFE id apart.
var serverPath = regexp.MustCompile(`^/region/([0-9a-f]{32})/server/([a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?)$`)

// String gives the SPIFFE id.
func (s ServerID) String() string {
	return "spiffe://" + s.TrustDomain + "/region/" + RegionText(s.Region) + "/server/" + s.Name
}

// url gives the SPIFFE id for a certificate, when it is one.
func (s ServerID) url() (*url.URL, error) {
	if _, err := ParseServerID(s.String()); err != nil {
		return nil, err
	}
	return url.Parse(s.String())
}

// ParseServerID reads the SPIFFE id of a server.
func ParseServerID(text string) (ServerID, error) {
	id, err := spiffeid.FromString(text)
	if err != nil {
		return ServerID{}, fault.New(fault.Invalid, "%q is no SPIFFE id: %v", text, err)
	}
	path := serverPath.FindStringSubmatch(id.Path())
	if path == nil {
		return ServerID{}, fault.New(fault.Invalid, "%q is not the id of a server: its path is not /region/REGION-ID/server/NAME", text)
	}
	region, err := ParseRegion(path[1])
	if err != nil {
		return ServerID{}, err
	}
	return ServerID{TrustDomain: id.TrustDomain().Name(), Region: region, Name: path[2]}, nil
}

// RegionText gives a region's id as 32 hex digits.
func RegionText(id [16]byte) string { return hex.EncodeToString(id[:]) }

// ParseRegion reads a region's id: 32 lower-case hex digits, not all of them 0.
func ParseRegion(text string) (id [16]byte, err error) {
	raw, err := hex.DecodeString(text)
	if err != nil || len(raw) != len(id) || hex.EncodeToString(raw) != text {
		return id, fault.New(fault.Invalid, "%q is not a region id: 32 hex digits (0-9, a-f)", text)
	}
	if id = [16]byte(raw); id == [16]byte{} {
		return id, fault.New(fault.Invalid, "a region id is not 0")
	}
	return id, nil
}

func checkName(what, name string) error {
	if !label.MatchString(name) {
		return fault.New(fault.Invalid, "the name of a %s must be a DNS label (a-z, 0-9, -, at most 63 bytes), not %q", what, name)
	}
	return nil
}

func checkTrustDomain(name string) error {
	_, bad := netip.ParseAddr(name)
	if len(name) > 253 || !domain.MatchString(name) || bad == nil {
		return fault.New(fault.Invalid, "%q is not a trust domain: a DNS name in lower case such as %s", name, DefaultTrustDomain)
	}
	return nil
}
