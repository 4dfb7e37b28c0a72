package state

import (
	"bytes"
	"slices"

	"supercluster/region/record"
)

// inOrder is from how many rows on they are read in the order of their keys: a search in all tables costs more than a few
// that the tables' filters end.
const inOrder = 8

// foreseeTxn says which records a transaction will look for, if it looks for many.
func (m *machine) foreseeTxn(t *record.Txn) error {
	if len(t.Compare)+len(t.Then) < inOrder {
		return nil
	}
	prefixes := make([][]byte, 0, len(t.Compare)+len(t.Then))
	for i := range t.Compare {
		prefixes = append(prefixes, record.AppendVersionPrefix(nil, t.Compare[i].Key))
	}
	for i := range t.Then {
		if op := &t.Then[i]; op.Type == record.TxnPut || op.Type == record.TxnDelete || op.Type == record.TxnGet {
			prefixes = append(prefixes, record.AppendVersionPrefix(nil, op.Key))
		}
	}
	return m.foresee(prefixes)
}

// foresee says that all versions of records will be looked for.
func (m *machine) foresee(prefixes [][]byte) error {
	slices.SortFunc(prefixes, bytes.Compare)
	return m.kv.Foresee(prefixes)
}

// foreseeImport says which records will be looked for when others are taken over: where many come together, most stand side by side.
func (m *machine) foreseeImport(in *inbound, recs []record.FeedRecord) error {
	if len(in.before) < inOrder {
		return nil
	}
	prefixes := make([][]byte, 0, len(in.before))
	for i := range recs {
		for j := range recs[i].Changes {
			k, err := record.DecodeFeedKey(recs[i].Changes[j].Key)
			if err != nil || k.Kind < firstData {
				continue // it is not shown; or it is what a region says of itself, and few are
			}
			at, err := m.placeOf(in, &k)
			if err != nil {
				return err
			}
			if at.namespace == 0 {
				continue
			}
			row := record.Imported{Tenant: at.tenant, Namespace: at.namespace}
			prefixes = append(prefixes, record.AppendVersionPrefix(nil, localKey(in, &k, &row)))
		}
	}
	return m.foresee(prefixes)
}
