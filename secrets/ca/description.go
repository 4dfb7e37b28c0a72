package ca

import (
	"bytes"
	"encoding/hex"
	"fmt"
	"time"

	"go.yaml.in/yaml/v3"

	"supercluster/internal/fault"
)

// description is what region.yaml holds. Keys may be added; those that a version does not know are left alone.
type description struct {
	ID          string `yaml:"id"`
	Name        string `yaml:"name"`
	TrustDomain string `yaml:"trust-domain"`
	Created     string `yaml:"created"`
	// FeedKey is the public one, so that a key file of another region is noticed.
	FeedKey string `yaml:"feed-key"`
}

func describe(id *Identity) []byte {
	var b bytes.Buffer
	fmt.Fprintf(&b, "# The identity of a region. The id never changes; feed-key is the public key of the feed.\n")
	fmt.Fprintf(&b, "id: %q\nname: %q\ntrust-domain: %q\ncreated: %q\nfeed-key: %q\n",
		RegionText(id.RegionID), id.Name, id.TrustDomain, id.Created.Format(time.RFC3339), id.Feed.String())
	return b.Bytes()
}

// parseDescription reads region.yaml. The parser's own error stays out of the text, since the path may be that of a
// key by mistake and the error quotes what it read.
func parseDescription(path string, data []byte) (id *Identity, feed []byte, err error) {
	broken := func(format string, args ...any) error {
		return fault.New(fault.Invalid, "region file %s: %s", path, fmt.Sprintf(format, args...)).
			WithHint("it is the %s that `supercluster region init` wrote", RegionFile)
	}
	if bytes.Contains(data, []byte("-----BEGIN")) {
		return nil, nil, broken("is a key or a certificate")
	}
	var d description
	if err := yaml.Unmarshal(data, &d); err != nil {
		return nil, nil, broken("does not parse as YAML")
	}
	id = &Identity{Name: d.Name, TrustDomain: d.TrustDomain}
	if id.RegionID, err = ParseRegion(d.ID); err != nil {
		return nil, nil, broken("id is not 32 hex digits (0-9, a-f)")
	}
	if checkName("region", d.Name) != nil {
		return nil, nil, broken("name is not a DNS label")
	}
	if checkTrustDomain(d.TrustDomain) != nil {
		return nil, nil, broken("trust-domain is not a DNS name")
	}
	if id.Created, err = time.Parse(time.RFC3339, d.Created); err != nil {
		return nil, nil, broken("created is not a time such as 2026-11-22T12:00:00Z")
	}
	if feed, err = hex.DecodeString(d.FeedKey); err != nil || len(feed) != len(id.Feed.public) {
		return nil, nil, broken("feed-key is not 64 hex digits")
	}
	return id, feed, nil
}
