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
	// Incarnation is the one of that region which Revision is of; 0 where that is not known.
	Incarnation uint64
}

// Written lists the records that an instance is made of: its own, then each check and its status, by check id.
func (i *InstanceView) Written() []Written {
	var out []Written
	add := func(kind record.Kind, name, check string, at written) {
		out = append(out, Written{Kind: kind, Name: name, Check: check, Revision: at.revision, Incarnation: at.incarnation})
	}
	add(record.KindInstance, InstanceName(i.Key.Service.Name, i.Key.ID), "", i.writtenAt)
	for _, p := range i.parts {
		name := CheckName(i.Key.Service.Name, i.Key.ID, p.id)
		if p.check != nil {
			add(record.KindCheck, name, p.id, p.checkAt)
		}
		if p.status != nil {
			add(record.KindCheckStatus, name, p.id, p.statusAt)
		}
	}
	return out
}
