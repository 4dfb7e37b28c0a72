package registry

import (
	"fmt"

	"supercluster/internal/fault"
	"supercluster/region/record"
)

// Outcome says whether a write did what it was for: a compare that did not hold is Exists or Conflict (with the
// current revision), a delete of what does not exist NotFound, a status other than OK its kind. Transactions of
// ConfigTxnOp are not for it: there a compare that does not hold is an answer (ConfigTxnAnswer).
func Outcome(op record.Op, res record.Result) error {
	if res.Status != record.StatusOK {
		return statusFault(op, res)
	}
	if op.Txn == nil || res.Txn == nil {
		return nil
	}
	if !res.Txn.Succeeded {
		return unmet(op.Txn, res)
	}
	// A retry that was recognised answers for the first run: what that deleted is gone by now.
	if first := op.Txn.Then[0]; first.Type == record.TxnDelete && !res.Duplicate && deletedNothing(res.Txn) {
		return missing(first.Key)
	}
	return nil
}

func deletedNothing(res *record.TxnResult) bool { return len(res.Ops) > 0 && res.Ops[0].Count == 0 }

// unmet says which compare of a transaction did not hold. Beside each compare, the transaction read its record.
func unmet(txn *record.Txn, res record.Result) error {
	for i, c := range txn.Compare {
		if i >= len(res.Txn.Ops) {
			break
		}
		var now record.Record
		if found := res.Txn.Ops[i].Records; len(found) > 0 {
			now = found[0]
		}
		if err := unmetCompare(c, now); err != nil {
			return err
		}
	}
	return fault.New(fault.Conflict, "the record changed meanwhile").WithHint("read it again, then retry")
}

// unmetCompare judges one compare that this package makes; nil: it holds.
func unmetCompare(c record.Compare, now record.Record) error {
	switch {
	case c.Target == record.CompareCreateRevision && c.Number == 0:
		if now.ModifyRevision == 0 {
			return nil
		}
		return fault.New(fault.Exists, "%s exists already", thing(c.Key)).WithRevision(now.ModifyRevision)
	case now.ModifyRevision == 0:
		return fault.New(fault.Conflict, "%s does not exist", thing(c.Key)).
			WithHint("expected was revision %d", c.Number)
	case c.Target == record.CompareCreateRevision && now.CreateRevision != c.Number:
		return fault.New(fault.Conflict, "%s was made again at revision %d", thing(c.Key), now.CreateRevision).
			WithRevision(now.ModifyRevision)
	case c.Target == record.CompareModifyRevision && now.ModifyRevision != c.Number:
		return fault.New(fault.Conflict, "%s is at revision %d, expected was %d", thing(c.Key), now.ModifyRevision, c.Number).
			WithHint("read it again, then retry").WithRevision(now.ModifyRevision)
	default:
		return nil
	}
}

// missing says that a record does not exist.
func missing(k record.Key) error {
	switch k.Kind {
	case record.KindInstance:
		service, id, _ := SplitInstanceName(k.Name)
		return noInstance(service, id)
	case record.KindService:
		return fault.New(fault.NotFound, "service %q has no definition", k.Name).
			WithHint("its instances, if any, are deregistered one by one")
	default:
		return fault.New(fault.NotFound, "there is no %s", thing(k))
	}
}

func noInstance(service, id string) error {
	return fault.New(fault.NotFound, "service %q has no instance %q in this region", service, id).
		WithHint("list them: supercluster service get %s", service)
}

func noCheck(service, id, check string) error {
	return fault.New(fault.NotFound, "instance %q of service %q has no check %q", id, service, check)
}

// thing names a record for people.
func thing(k record.Key) string {
	noun, ok := nouns[k.Kind]
	if !ok {
		noun = fmt.Sprintf("record of kind %d", k.Kind)
	}
	return noun + " " + shown(k.Name)
}

var nouns = map[record.Kind]string{
	record.KindTenant:      "tenant",
	record.KindNamespace:   "namespace",
	record.KindNode:        "node",
	record.KindRegion:      "region",
	record.KindService:     "the definition of service",
	record.KindInstance:    "instance",
	record.KindCheck:       "check",
	record.KindCheckStatus: "the status of check",
	record.KindRoute:       "route",
	record.KindConfig:      "config entry",
}

// statusFault says in the words of the registry what Apply refused.
func statusFault(op record.Op, res record.Result) error {
	kind := fault.Internal
	if int(res.Status) < len(statusKinds) {
		kind = statusKinds[res.Status]
	}
	if op.Tenancy != nil {
		if err := tenancyFault(op, res.Status); err != nil {
			return err
		}
	}
	detail := res.Detail
	if detail == "" {
		detail = "the store refused the write"
	}
	return fault.New(kind, "%s", detail).WithRevision(res.Revision)
}

var statusKinds = [...]fault.Kind{
	record.StatusInvalid:            fault.Invalid,
	record.StatusTooLarge:           fault.TooLarge,
	record.StatusNotFound:           fault.NotFound,
	record.StatusExists:             fault.Exists,
	record.StatusNotEmpty:           fault.Conflict,
	record.StatusCompacted:          fault.Compacted,
	record.StatusFuture:             fault.FutureRevision,
	record.StatusNoSpace:            fault.Exhausted,
	record.StatusIdempotencyExpired: fault.IdempotencyExpired,
	record.StatusStale:              fault.OutcomeUnknown, // of a group no longer remembered: it may have run
	record.StatusQuota:              fault.Exhausted,
	record.StatusDenied:             fault.Denied,
	record.StatusNotHome:            fault.NotHome,
	record.StatusFenced:             fault.Unavailable,
}

// tenancyFault names the tenant or namespace that an operation was about.
func tenancyFault(op record.Op, status record.Status) error {
	t := op.Tenancy
	what := fmt.Sprintf("tenant %q", t.Tenant)
	hint := "delete its namespaces first, and what is in `default`"
	if op.Type == record.OpCreateNamespace || op.Type == record.OpDeleteNamespace {
		what = fmt.Sprintf("namespace %q of tenant %q", t.Namespace, t.Tenant)
		hint = "delete what is in it first"
	}
	switch status {
	case record.StatusExists:
		return fault.New(fault.Exists, "%s exists already", what)
	case record.StatusNotFound:
		return fault.New(fault.NotFound, "there is no %s", what)
	case record.StatusNotEmpty:
		return fault.New(fault.Conflict, "%s is not empty", what).WithHint("%s", hint)
	default:
		return nil
	}
}
