package registry

import (
	"encoding/binary"
	"iter"
	"strings"

	"github.com/tidwall/btree"

	pb "supercluster/api/gen/supercluster/v1"
)

// index finds instances of a namespace by what they have. Its keys are dimension, value, service, and the scope (4
// bytes) with the id, separated by NUL, which names do not contain; so the instances of one service with a value
// stand together, in the order of the service.
type index struct{ keys *btree.Map[string, struct{}] }

// The dimensions.
const (
	byTag    = 't'
	byZone   = 'z'
	byHealth = 'h'
)

func healthValue(h pb.Health) string { return string(rune('0' + h)) }

func indexKey(dimension byte, value string, k *InstanceKey) string {
	var b strings.Builder
	b.Grow(7 + len(value) + len(k.Service.Name) + len(k.ID))
	b.WriteByte(dimension)
	b.WriteString(value)
	b.WriteByte(0)
	b.WriteString(k.Service.Name)
	b.WriteByte(0)
	var scope [4]byte
	binary.BigEndian.PutUint32(scope[:], k.Scope)
	b.Write(scope[:])
	b.WriteString(k.ID)
	return b.String()
}

// replace moves an instance from what it had to what it has; either may be nil.
func (x index) replace(old, now *InstanceView) {
	switch {
	case old == nil:
		x.each(now, func(k string) { x.keys.Set(k, struct{}{}) })
	case now == nil:
		x.each(old, func(k string) { x.keys.Delete(k) })
	default:
		if old.Instance != now.Instance {
			x.labels(old, func(k string) { x.keys.Delete(k) })
			x.labels(now, func(k string) { x.keys.Set(k, struct{}{}) })
		}
		if old.Health != now.Health {
			x.keys.Delete(x.health(old))
			x.keys.Set(x.health(now), struct{}{})
		}
	}
}

func (x index) each(i *InstanceView, do func(key string)) {
	x.labels(i, do)
	do(x.health(i))
}

// labels are the keys that follow from the instance's own record.
func (x index) labels(i *InstanceView, do func(key string)) {
	do(indexKey(byZone, i.Instance.GetZone(), &i.Key))
	for _, tag := range i.Instance.GetTags() {
		do(indexKey(byTag, tag, &i.Key))
	}
}

func (x index) health(i *InstanceView) string {
	return indexKey(byHealth, healthValue(i.Health), &i.Key)
}

// scan visits the instances of the keys with a prefix.
func (x index) scan(prefix string, visit func(at slot) bool) {
	skip := strings.IndexByte(prefix, 0) + 1
	x.keys.Ascend(prefix, func(k string, _ struct{}) bool {
		if !strings.HasPrefix(k, prefix) {
			return false
		}
		service, rest, _ := strings.Cut(k[skip:], "\x00")
		return visit(slot{binary.BigEndian.Uint32([]byte(rest[:4])), service, rest[4:]})
	})
}

// Filter selects instances; empty fields select all.
type Filter struct {
	Service string
	Tag     string
	Zone    string
	Health  pb.Health
	// Scope is the alias of the region that has the instance.
	Scope uint32
}

// Selects reports whether the filter takes an instance.
func (f Filter) Selects(i *InstanceView) bool {
	return (f.Service == "" || f.Service == i.Key.Service.Name) &&
		(f.Scope == 0 || f.Scope == i.Key.Scope) &&
		(f.Zone == "" || f.Zone == i.Instance.GetZone()) &&
		(f.Health == pb.Health_HEALTH_UNSPECIFIED || f.Health == i.Health) &&
		(f.Tag == "" || i.HasTag(f.Tag))
}

// prefix is the narrowest part of the index that holds all the filter takes, "" if the index does not help.
func (f Filter) prefix() string {
	var p string
	switch {
	case f.Tag != "":
		p = string(byTag) + f.Tag + "\x00"
	case f.Zone != "":
		p = string(byZone) + f.Zone + "\x00"
	case f.Health != pb.Health_HEALTH_UNSPECIFIED:
		p = string(byHealth) + healthValue(f.Health) + "\x00"
	default:
		return ""
	}
	if f.Service != "" {
		p += f.Service + "\x00"
	}
	return p
}

// Instances lists the instances of a namespace that a filter selects, by service and in its order. It visits those that the
// filter's tag, else zone, else health names, not the others.
func (v *View) Instances(tenant, namespace string, f Filter) iter.Seq[*InstanceView] {
	return func(yield func(*InstanceView) bool) {
		s, ok := v.space(tenant, namespace)
		if !ok {
			return
		}
		if p := f.prefix(); p != "" {
			s.index.scan(p, func(at slot) bool {
				i, ok := s.instance(at)
				return !ok || !f.Selects(i) || yield(i)
			})
			return
		}
		s.each(f.Service, func(i *InstanceView) bool { return f.Scope != 0 && f.Scope != i.Key.Scope || yield(i) })
	}
}

// each visits the instances of one service, or of all.
func (s *space) each(service string, yield func(*InstanceView) bool) {
	s.services.Ascend(service, func(name string, sv *ServiceView) bool {
		if service != "" && name != service {
			return false
		}
		for _, i := range sv.Instances {
			if !yield(i) {
				return false
			}
		}
		return true
	})
}

func (s *space) instance(at slot) (*InstanceView, bool) {
	sv, ok := s.services.Get(at.service)
	if !ok {
		return nil, false
	}
	return sv.InstanceIn(at.scope, at.id)
}

// ServicesTagged lists the services of a namespace that have an instance with a tag, by name.
func (v *View) ServicesTagged(tenant, namespace, tag string) iter.Seq[*ServiceView] {
	return func(yield func(*ServiceView) bool) {
		s, ok := v.space(tenant, namespace)
		if !ok || tag == "" {
			return
		}
		prefix := string(byTag) + tag + "\x00"
		for from, more := prefix, true; more; {
			more = false
			s.index.keys.Ascend(from, func(k string, _ struct{}) bool {
				if !strings.HasPrefix(k, prefix) {
					return false
				}
				service, _, _ := strings.Cut(k[len(prefix):], "\x00")
				from = prefix + service + "\x01" // past every instance of it
				if sv, ok := s.services.Get(service); ok {
					more = yield(sv)
				}
				return false
			})
		}
	}
}
