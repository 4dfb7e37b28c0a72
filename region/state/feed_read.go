package state

import (
	"bytes"
	"math"

	"supercluster/region/record"
)

// ReadFederation reads the federation row; false: the region has neither peer nor channel.
func ReadFederation(r Reader) (record.Federation, bool, error) {
	b, found, err := r.Get(record.FederationKey())
	if err != nil || !found {
		return record.Federation{}, false, err
	}
	f, err := record.DecodeFederation(b)
	return f, err == nil, err
}

// Channels reads the documents of this region's channels.
func Channels(r Reader) ([]record.Channel, error) {
	b, found, err := r.Get(record.ChannelsKey())
	if err != nil || !found {
		return nil, err
	}
	return record.DecodeChannels(bytes.Clone(b))
}

// FindRegion finds a region by its id.
func FindRegion(r Reader, id [16]byte) (alias uint32, g record.Region, found bool, err error) {
	b, found, err := r.Get(record.AppendRegionIDKey(nil, id))
	if err != nil || !found {
		return 0, record.Region{}, false, err
	}
	if alias, err = record.DecodeAlias(b); err != nil {
		return 0, record.Region{}, false, err
	}
	g, found, err = readRegion(r, alias)
	return alias, g, found, err
}

func readRegion(r Reader, alias uint32) (record.Region, bool, error) {
	b, found, err := r.Get(record.AppendRegionKey(nil, alias))
	if err != nil || !found {
		return record.Region{}, false, err
	}
	g, err := record.DecodeRegion(b)
	return g, err == nil, err
}

// Regions lists the regions by alias, this one first.
func Regions(r Reader) (all []record.Region, err error) {
	from := record.AppendRegionKey(nil, 0)
	err = scan(r, from, record.AppendRegionKey(nil, ^uint32(0)), func(_, value []byte) error {
		g, err := record.DecodeRegion(value)
		all = append(all, g)
		return err
	})
	return all, err
}

// regionOf finds a region that an entry deals with.
func (m *machine) regionOf(alias uint32) (record.Region, bool, error) { return readRegion(m.kv, alias) }

// TenantLink links a tenant of another region to one of this region.
type TenantLink struct {
	Remote [16]byte
	Tenant uint32
}

// Links lists the tenant links of a region.
func Links(r Reader, alias uint32) (all []TenantLink, err error) {
	from := record.AppendLinkKey(nil, alias, [16]byte{})
	prefix := from[:len(from)-16]
	err = scan(r, prefix, record.PrefixSuccessor(bytes.Clone(prefix)), func(key, value []byte) error {
		var l TenantLink
		copy(l.Remote[:], key[len(prefix):])
		var err error
		l.Tenant, err = record.DecodeAlias(value)
		all = append(all, l)
		return err
	})
	return all, err
}

func readLink(r Reader, alias uint32, remote [16]byte) (tenant uint32, found bool, err error) {
	b, found, err := r.Get(record.AppendLinkKey(nil, alias, remote))
	if err != nil || !found {
		return 0, false, err
	}
	tenant, err = record.DecodeAlias(b)
	return tenant, err == nil, err
}

// ImportSelector reads what of a region's records is shown here.
func ImportSelector(r Reader, alias uint32) (record.Selector, error) {
	b, found, err := r.Get(record.AppendImportSelectorKey(nil, alias))
	if err != nil || !found {
		return nil, err
	}
	return record.DecodeSelectorRow(bytes.Clone(b))
}

// ReadFederated reads a federated namespace; nil: it is not federated.
func ReadFederated(r Reader, tenant, namespace uint32) (*record.FederatedNamespace, bool, error) {
	b, found, err := r.Get(record.AppendFederatedKey(nil, tenant, namespace))
	if err != nil || !found {
		return nil, false, err
	}
	s, err := record.DecodeFederated(b)
	return &s, err == nil, err
}

// FeedStateOf reads where a channel stands here.
func FeedStateOf(r Reader, alias, channel uint32) (record.FeedState, bool, error) {
	return readFeedState(r, alias, channel)
}

func readFeedState(r Reader, alias, channel uint32) (record.FeedState, bool, error) {
	b, found, err := r.Get(record.AppendFeedStateKey(nil, alias, channel))
	if err != nil || !found {
		return record.FeedState{}, false, err
	}
	s, err := record.DecodeFeedState(bytes.Clone(b))
	return s, err == nil, err
}

// EachFeedState calls fn with every channel of a region that is here, by number.
func EachFeedState(r Reader, alias uint32, fn func(channel uint32, s *record.FeedState) error) error {
	return eachFeedState(r, alias, fn)
}

func eachFeedState(r Reader, alias uint32, fn func(channel uint32, s *record.FeedState) error) error {
	type numbered struct {
		channel uint32
		state   record.FeedState
	}
	var all []numbered // fn may write what is being read
	err := feedStates(r, alias, func(channel uint32, value []byte) error {
		s, err := record.DecodeFeedState(bytes.Clone(value))
		all = append(all, numbered{channel, s})
		return err
	})
	for i := range all {
		if err == nil {
			err = fn(all[i].channel, &all[i].state)
		}
	}
	return err
}

// feedStates looks each row up: every change of a channel rewrites its row, and a scan would walk over all that Pebble still
// holds of it.
func feedStates(r Reader, alias uint32, fn func(channel uint32, value []byte) error) error {
	from, to := record.AppendFeedStateKey(nil, alias, 0), record.AppendFeedStateKey(nil, alias+1, 0)
	for {
		key, value, found, err := r.First(from, to)
		if err != nil || !found {
			return err
		}
		_, channel, err := record.DecodeFeedStateKey(key)
		if err != nil {
			return err
		}
		if err := fn(channel, value); err != nil || channel == math.MaxUint32 {
			return err
		}
		from = record.AppendFeedStateKey(from[:0], alias, channel+1)
	}
}

// feedChannels lists the channels of a region that are here.
func feedChannels(r Reader, alias uint32) (all []uint32, err error) {
	err = feedStates(r, alias, func(channel uint32, _ []byte) error {
		all = append(all, channel)
		return nil
	})
	return all, err
}

// ReadResync reads the snapshot of a channel that is being taken over.
func ReadResync(r Reader, alias, channel uint32) (record.Resync, bool, error) {
	b, found, err := r.Get(record.AppendResyncKey(nil, alias, channel))
	if err != nil || !found {
		return record.Resync{}, false, err
	}
	s, err := record.DecodeResync(bytes.Clone(b))
	return s, err == nil, err
}

// EachFederated calls fn with every federated namespace, by its numbers.
func EachFederated(r Reader, fn func(tenant, namespace uint32, s *record.FederatedNamespace) error) error {
	return scan(r, []byte{record.SpaceFederated}, []byte{record.SpaceFederated + 1}, func(key, value []byte) error {
		tenant, namespace, err := record.DecodeFederatedKey(key)
		if err != nil {
			return err
		}
		s, err := record.DecodeFederated(value)
		if err != nil {
			return err
		}
		return fn(tenant, namespace, &s)
	})
}

// LocalKey gives the key of a record of this region by its feed key; false: it is in no federated namespace.
func LocalKey(r Reader, k *record.FeedKey) (local record.Key, ok bool, err error) {
	shard, valid := k.Kind.Shard()
	if !valid || shard == record.ShardSystem {
		return record.Key{}, false, nil
	}
	local = record.Key{Shard: shard, Kind: k.Kind, Name: k.Name}
	if k.Regional {
		local.Scope = record.ScopeRegion
	}
	err = EachFederated(r, func(tenant, namespace uint32, s *record.FederatedNamespace) error {
		if s.Tenant == k.Tenant && s.Namespace == k.Namespace {
			local.Tenant, local.Namespace, ok = tenant, namespace, true
		}
		return nil
	})
	return local, ok, err
}

// ChangedSince reports whether a record was written or deleted after a revision of its shard.
func ChangedSince(r Reader, k record.Key, revision uint64) (bool, error) {
	from := record.AppendVersionPrefix(make([]byte, 0, 128), k)
	key, _, found, err := r.First(from, record.PrefixSuccessor(bytes.Clone(from)))
	return found && revisionOf(key) > revision, err
}

// EachQuarantined calls fn with the imported records of a channel that are kept and not shown, until it says false.
func EachQuarantined(r Reader, alias, channel uint32, fn func(k *record.FeedKey, m *record.Imported) bool) error {
	from := record.AppendImportedKey(nil, alias, channel, nil)
	it, err := r.Scan(from, record.PrefixSuccessor(bytes.Clone(from)), false)
	if err != nil {
		return err
	}
	for it.Next() {
		row, err := record.DecodeImported(it.Value())
		if err != nil {
			_ = it.Close() // the first error says more
			return err
		}
		if row.Quarantine == record.QuarantineNone {
			continue
		}
		k, err := record.DecodeFeedKey(bytes.Clone(record.ImportedFeedKey(it.Key())))
		if err != nil {
			k = record.FeedKey{Name: string(record.ImportedFeedKey(it.Key()))}
		}
		if !fn(&k, &row) {
			break
		}
	}
	return it.Close()
}
