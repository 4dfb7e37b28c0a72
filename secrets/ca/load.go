package ca

import (
	"bytes"
	"crypto"
	"crypto/ed25519"
	"crypto/x509"
	"time"

	"supercluster/internal/fault"
)

// Load reads the four files of an identity and checks that they are whole, secret where they must be, belong together
// and hold now.
func Load(p Paths, now time.Time) (*Identity, error) {
	data, err := readFile("region file", p.Region, false)
	if err != nil {
		return nil, err
	}
	id, feed, err := parseDescription(p.Region, data)
	if err != nil {
		return nil, err
	}
	if err := id.loadFeedKey(p, feed); err != nil {
		return nil, err
	}
	if data, err = readFile("CA certificate", p.CACert, false); err != nil {
		return nil, err
	}
	if id.Root, err = parseRoot(p.CACert, data, id.RegionID, id.TrustDomain, now); err != nil {
		return nil, err
	}
	return id, id.loadCAKey(p)
}

func (id *Identity) loadFeedKey(p Paths, public []byte) error {
	key, err := loadKey("feed key", p.FeedKey)
	if err != nil {
		return err
	}
	feed, ok := key.(ed25519.PrivateKey)
	if !ok {
		return fault.New(fault.Invalid, "feed key %s is %s; a feed key is an ed25519 key", p.FeedKey, keyType(key)).
			WithHint("name the %s that `supercluster region init` wrote", FeedKeyFile)
	}
	id.Feed = newFeedKey(feed)
	if !bytes.Equal(id.Feed.public[:], public) {
		return fault.New(fault.Invalid, "feed key %s is not that of region file %s: it is the key of another region", p.FeedKey, p.Region).
			WithHint("name files that one `supercluster region init` wrote")
	}
	return nil
}

func (id *Identity) loadCAKey(p Paths) error {
	key, err := loadKey("CA key", p.CAKey)
	if err != nil {
		return err
	}
	if problem := usableForCA(key); problem != "" {
		return fault.New(fault.Invalid, "CA key %s %s", p.CAKey, problem)
	}
	public, ok := key.Public().(interface{ Equal(crypto.PublicKey) bool })
	if !ok || !public.Equal(id.Root.PublicKey) {
		return fault.New(fault.Invalid, "CA key %s is not the key of CA certificate %s", p.CAKey, p.CACert).
			WithHint("name files that one `supercluster region init` wrote")
	}
	id.signer = seal(key)
	return nil
}

func loadKey(what, path string) (crypto.Signer, error) {
	data, err := readFile(what, path, true)
	if err != nil {
		return nil, err
	}
	defer clear(data)
	return parseKey(what, path, data)
}

// parseRoot reads the CA certificate of a region from a file that holds exactly one.
func parseRoot(path string, data []byte, region [16]byte, trustDomain string, now time.Time) (*x509.Certificate, error) {
	roots, err := decodeBundle("CA certificate "+path, data)
	if err != nil {
		return nil, err
	}
	if len(roots) != 1 {
		return nil, fault.New(fault.Invalid, "CA certificate %s holds %d certificates, not one", path, len(roots))
	}
	root := roots[0]
	have, err := checkRoot(root, region)
	switch {
	case err != nil:
		return nil, fault.Wrap(fault.Invalid, err, "CA certificate %s can not be used", path)
	case have != trustDomain:
		return nil, fault.New(fault.Invalid, "CA certificate %s is of trust domain %q, the region file says %q", path, have, trustDomain)
	}
	return root, checkTime("CA certificate "+path, root, now)
}

// checkTime refuses a certificate outside its time.
func checkTime(what string, cert *x509.Certificate, now time.Time) error {
	if now.After(cert.NotAfter) {
		return fault.New(fault.Invalid, "%s expired at %s", what, cert.NotAfter.UTC().Format(time.RFC3339)).
			WithHint("is the clock of this machine right? Else make a new CA for the region in a new folder, with " +
				"`supercluster region init --region-id`, and give it to every server and every peer")
	}
	if now.Before(cert.NotBefore) {
		return fault.New(fault.Invalid, "%s is not valid before %s", what, cert.NotBefore.UTC().Format(time.RFC3339)).
			WithHint("is the clock of this machine right?")
	}
	return nil
}
