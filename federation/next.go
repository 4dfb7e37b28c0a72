//go:build fednext

package federation

import (
	"context"

	"supercluster/region/record"
	"supercluster/region/state"
)

// laterKind is a kind of records that this release does not know.
const laterKind record.Kind = 500

// laterDuty: this build plays the next release, which writes records of a kind of its own in each federated namespace.
func (f *Federation) laterDuty(ctx context.Context) error {
	var ops []record.Op
	err := f.pinned(func(r state.Reader) error {
		return state.EachFederated(r, func(tenant, namespace uint32, _ *record.FederatedNamespace) error {
			k := record.Key{
				Shard: record.ShardData, Tenant: tenant, Namespace: namespace, Kind: laterKind, Scope: record.ScopeRegion, Name: "of-the-next-release",
			}
			if _, found, err := state.Get(r, k, 0); err != nil || found {
				return err
			}
			put := record.TxnOp{Type: record.TxnPut, Key: k, Value: []byte{0xff, 0x01, 'n', 'e', 'x', 't'}}
			ops = append(ops, record.Op{Type: record.OpTxn, Tenant: tenant, Txn: &record.Txn{Shard: record.ShardData, Then: []record.TxnOp{put}}})
			return nil
		})
	})
	for _, op := range ops {
		if err == nil {
			_, err = f.propose(ctx, op)
		}
	}
	return err
}
