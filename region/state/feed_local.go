package state

import "supercluster/region/record"

// localPlace is where the records of a namespace of another region stand here.
type localPlace struct {
	remote            [16]byte // the tenant, there
	name              string   // of the namespace
	tenant, namespace uint32   // without a namespace: nowhere
}

// placeOf finds where a record stands. Nothing that comes in a channel changes tenants, links and namespaces, and most records that
// come together are of one namespace, so what was found last is asked first.
func (m *machine) placeOf(in *inbound, k *record.FeedKey) (*localPlace, error) {
	if at := in.last; at != nil && at.remote == k.Tenant && at.name == k.Namespace {
		return at, nil
	}
	at := &localPlace{remote: k.Tenant, name: k.Namespace}
	tenant, found, err := readLink(m.kv, in.alias, k.Tenant)
	if err != nil {
		return nil, err
	}
	if found {
		if at.tenant, at.namespace, err = m.spaceIn(tenant, k.Namespace); err != nil {
			return nil, err
		}
	}
	in.last = at
	return at, nil
}

// spaceIn finds a namespace by name; zeros if it, or its tenant, is not there.
func (m *machine) spaceIn(tenant uint32, name string) (uint32, uint32, error) {
	if t, err := m.tally(tenant, 0); err != nil || !t.exists {
		return 0, 0, err
	}
	namespace, err := m.namespaceID(tenant, name)
	return tenant, namespace, err
}
