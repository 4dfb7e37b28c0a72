package state

import "supercluster/region/record"

// validTxn judges what needs no state: limits, one shard and only kinds that live in it, and that no key can change twice
// in a list. Both lists are judged, whichever will run.
func validTxn(t *record.Txn, r *record.Result) bool {
	if t.Shard > record.ShardData {
		refuse(r, record.StatusInvalid, "there is no shard %d", t.Shard)
		return false
	}
	if n := max(len(t.Compare), len(t.Then), len(t.Else)); n > record.MaxOps {
		refuse(r, record.StatusTooLarge, "a transaction has a list of %d operations; the limit is %d", n, record.MaxOps)
		return false
	}
	for i := range t.Compare {
		if k := t.Compare[i].Key; !placed(t, k.Shard, k.Kind, r) {
			return false
		}
	}
	for _, list := range [2][]record.TxnOp{t.Then, t.Else} {
		for i := range list {
			if shard, _, _, kind := target(&list[i]); !placed(t, shard, kind, r) {
				return false
			}
		}
		if len(list) > 1 && !distinct(list, r) {
			return false
		}
	}
	return true
}

// placed reports whether a key is of the transaction's shard, and its kind too.
func placed(t *record.Txn, shard uint32, kind record.Kind, r *record.Result) bool {
	if shard != t.Shard {
		refuse(r, record.StatusInvalid, "a transaction of shard %d has a key of another", t.Shard)
		return false
	}
	if home, ok := kind.Shard(); !ok || home != shard {
		refuse(r, record.StatusInvalid, "records of kind %d do not live in shard %d", kind, shard)
		return false
	}
	return true
}

// target gives where an operation reads or writes.
func target(op *record.TxnOp) (shard, tenant, namespace uint32, kind record.Kind) {
	if op.Type == record.TxnDeleteRange || op.Type == record.TxnRange {
		return op.Range.Shard, op.Range.Tenant, op.Range.Namespace, op.Range.Kind
	}
	return op.Key.Shard, op.Key.Tenant, op.Key.Namespace, op.Key.Kind
}

// distinct reports whether no key is put twice, or put and deleted. Deleting a key twice is no change of the second.
func distinct(list []record.TxnOp, r *record.Result) bool {
	puts := 0
	for i := range list {
		if list[i].Type == record.TxnPut {
			puts++
		}
	}
	if puts == 0 {
		return true
	}
	put := make(map[record.Key]struct{}, puts)
	for i := range list {
		if list[i].Type != record.TxnPut {
			continue
		}
		if _, twice := put[list[i].Key]; twice {
			refuse(r, record.StatusInvalid, "the transaction puts %q twice", list[i].Key.Name)
			return false
		}
		put[list[i].Key] = struct{}{}
	}
	for i := range list {
		op := &list[i]
		if op.Type == record.TxnDelete {
			if _, both := put[op.Key]; both {
				refuse(r, record.StatusInvalid, "the transaction puts and deletes %q", op.Key.Name)
				return false
			}
		}
		if op.Type == record.TxnDeleteRange && !apart(list, op.Range, r) {
			return false
		}
	}
	return true
}

// apart reports whether no put falls into a range that is deleted.
func apart(list []record.TxnOp, rng record.Range, r *record.Result) bool {
	for i := range list {
		if list[i].Type == record.TxnPut && inRange(list[i].Key, rng) {
			refuse(r, record.StatusInvalid, "the transaction puts %q and deletes a range with it", list[i].Key.Name)
			return false
		}
	}
	return true
}

// writable judges whether the records that the list writes may be written now. Reads need nothing.
func (m *machine) writable(list []record.TxnOp, r *record.Result) (bool, error) {
	for i := range list {
		op := &list[i]
		if op.Type == record.TxnGet || op.Type == record.TxnRange {
			continue
		}
		if op.Type == record.TxnPut && m.full() {
			refuseGrowth(r)
			return false, nil
		}
		shard, tenant, namespace, kind := target(op)
		scope := op.Key.Scope
		if op.Type == record.TxnDeleteRange {
			scope = op.Range.Scope
		}
		switch {
		case kind == record.KindTenant || kind == record.KindNamespace:
			refuse(r, record.StatusDenied, "tenants and namespaces are created and deleted by operations of their own")
			return false, nil
		case scope > record.ScopeRegion:
			refuse(r, record.StatusDenied, "scope %d belongs to another region", scope)
			return false, nil
		case shard == record.ShardSystem && (tenant != 0 || namespace != 0):
			refuse(r, record.StatusInvalid, "a system record has tenant %d and namespace %d", tenant, namespace)
			return false, nil
		case shard == record.ShardSystem:
			continue
		}
		t, err := m.tally(tenant, namespace)
		if err != nil {
			return false, err
		}
		if !t.exists || namespace == 0 {
			refuse(r, record.StatusNotFound, "there is no namespace with id %d in tenant %d", namespace, tenant)
			return false, nil
		}
		if home, err := m.home(op, r); err != nil || !home {
			return false, err
		}
	}
	return true, nil
}
