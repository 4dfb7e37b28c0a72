package registry

import "supercluster/region/record"

// Written is a record that an instance is made of.
type Written struct {
	Kind record.Kind
	Name string
	// Check is the id of the check that it, or its status, is of; empty for the instance itself.
	Check string
	// Revision is that of its own region at which it last changed.
	Revision uint64
}

// Written lists the records that an instance is made of: its own, then each check and its status, by check id.
func (i *InstanceView) Written() []Written {
	out := []Written{{Kind: record.KindInstance, Name: InstanceName(i.Key.Service.Name, i.Key.ID), Revision: i.writtenAt}}
	for _, p := range i.parts {
		name := CheckName(i.Key.Service.Name, i.Key.ID, p.id)
		if p.check != nil {
			out = append(out, Written{Kind: record.KindCheck, Name: name, Check: p.id, Revision: p.checkAt})
		}
		if p.status != nil {
			out = append(out, Written{Kind: record.KindCheckStatus, Name: name, Check: p.id, Revision: p.statusAt})
		}
	}
	return out
}
