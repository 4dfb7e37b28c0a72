package main

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"supercluster/internal/config"
	"supercluster/internal/fault"
	"supercluster/internal/tlsfiles"
	"supercluster/region"
	"supercluster/secrets/ca"
)

// loadTLS reads the files of tls.*; nil when none is named.
func loadTLS(c config.Server, now time.Time) (*tlsfiles.Identity, error) {
	if c.TLS.Empty() {
		return nil, nil
	}
	return tlsfiles.Load(tlsfiles.Files{Cert: c.TLS.Cert, Key: c.TLS.Key, CA: c.TLS.ClientCA}, now)
}

// loadIdentity reads the files of identity.*; nil when none is named.
func loadIdentity(c config.Server, now time.Time) (*ca.Identity, error) {
	i := c.Identity
	if i.Empty() {
		return nil, nil
	}
	paths := ca.Paths{Region: i.Region, FeedKey: i.FeedKey, CAKey: i.CAKey, CACert: i.CACert}
	if i.Dir != "" {
		paths = ca.In(i.Dir)
	}
	id, err := ca.Load(paths, now)
	if err != nil {
		return nil, err
	}
	if id.Name != c.Region {
		return nil, fault.New(fault.Invalid, "region file %s is of region %q, and this server is configured for region %q", paths.Region, id.Name, c.Region).
			WithHint("set region: %s, or name the identity of region %s", id.Name, c.Region)
	}
	return id, nil
}

// regionID is the id that the identity gives the region; 0 without one.
func (p *process) regionID() (id [16]byte) {
	if p.identity != nil {
		id = p.identity.RegionID
	}
	return id
}

// devIdentity names the identity in dev's data folder, and makes it at the first start. A folder with the data of a
// region gets the identity of that region.
func devIdentity(c *config.Server, now time.Time) error {
	stored, err := region.StoredID(c.DataDir)
	if err != nil {
		return err
	}
	c.Identity = config.Identity{Dir: filepath.Join(c.DataDir, "identity")}
	if _, err := os.Stat(ca.In(c.Identity.Dir).Region); !errors.Is(err, fs.ErrNotExist) {
		return nil // what is wrong with it, loading says
	}
	_, err = ca.Init(c.Identity.Dir, ca.Options{Name: c.Region, RegionID: stored, Now: now})
	return err
}
