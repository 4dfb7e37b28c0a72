package federation

import (
	"cmp"
	"encoding/hex"
	"fmt"
	"maps"
	"slices"
	"strings"

	"supercluster/region/record"
	"supercluster/region/state"
)

// space is a namespace as the feed names it.
type space struct {
	tenant [16]byte
	name   string
}

// unknownRecords are records of this region that a peer has, in namespaces that are not federated here: the state is from before they
// were. Each begins with at most maxKeptNames names.
type unknownRecords map[space]*unknownNames

type unknownNames struct {
	count int
	names []string
}

// note counts a record.
func (u unknownRecords) note(k *record.FeedKey) {
	s := space{k.Tenant, k.Namespace}
	if u[s] == nil {
		u[s] = &unknownNames{}
	}
	if u[s].count++; len(u[s].names) < maxKeptNames {
		u[s].names = append(u[s].names, k.Name)
	}
}

// add takes over what was counted in a channel.
func (u unknownRecords) add(more unknownRecords) {
	for s, n := range more {
		if u[s] == nil {
			u[s] = &unknownNames{}
		}
		u[s].count += n.count
		u[s].names = append(u[s].names, n.names[:min(len(n.names), maxKeptNames-len(u[s].names))]...)
	}
}

// text lists them, one line for each namespace.
func (u unknownRecords) text() (lines []string) {
	for _, s := range slices.SortedFunc(maps.Keys(u), func(a, b space) int {
		return cmp.Or(slices.Compare(a.tenant[:], b.tenant[:]), cmp.Compare(a.name, b.name))
	}) {
		n := u[s]
		names := strings.Join(n.names, ", ")
		if n.count > len(n.names) {
			names += ", ..."
		}
		lines = append(lines, fmt.Sprintf("%d records of namespace %s, tenant id %s, which was not federated yet in the state that this region began with: %s",
			n.count, s.name, hex.EncodeToString(s.tenant[:]), names))
	}
	return lines
}

// nameLosses says in the report what nobody who was reached could give back.
func (h *healing) nameLosses() error {
	report := h.report
	for _, name := range h.silent {
		report.Lost = append(report.Lost, fmt.Sprintf("region %s was not reached: what only it had of this region", name))
	}
	report.Lost = append(report.Lost, h.channelLosses()...)
	report.Lost = append(report.Lost, h.unknown.text()...)
	return h.f.pinned(func(r state.Reader) error {
		alone, err := notFederated(r)
		for i, name := range alone {
			if i == maxKeptNames {
				report.Lost = append(report.Lost, fmt.Sprintf("and of %d more namespaces", len(alone)-i))
				break
			}
			report.Lost = append(report.Lost, fmt.Sprintf("namespace %s is not federated, so no other region has it: what was written there after the state that this region began with", name))
		}
		return err
	})
}

// notFederated lists the namespaces that are in this region alone, as tenant/namespace.
func notFederated(r state.Reader) (names []string, err error) {
	type id struct{ tenant, namespace uint32 }
	federated := map[id]bool{}
	if err := state.EachFederated(r, func(tenant, namespace uint32, _ *record.FederatedNamespace) error {
		federated[id{tenant, namespace}] = true
		return nil
	}); err != nil {
		return nil, err
	}
	tenants := map[uint32]string{}
	var alone []record.Key
	if err := state.Load(r, []record.Kind{record.KindTenant, record.KindNamespace}, func(rec record.Record) error {
		number := uint32(rec.Attributes.Flags)
		switch {
		case rec.Key.Kind == record.KindTenant:
			tenants[number] = rec.Key.Name
		case !federated[id{rec.Key.Tenant, number}]:
			alone = append(alone, rec.Key)
		}
		return nil
	}); err != nil {
		return nil, err
	}
	for _, k := range alone {
		names = append(names, tenants[k.Tenant]+"/"+k.Name)
	}
	slices.Sort(names)
	return names, nil
}
