package health

import (
	"supercluster/registry"
)

// nodeSet is the live nodes of the region at one time. It is immutable.
type nodeSet struct {
	names []string
	seeds []uint64
}

func newNodeSet(names []string) *nodeSet {
	n := &nodeSet{names: names, seeds: make([]uint64, len(names))}
	for i, name := range names {
		n.seeds[i] = mix(hashText(hashStart, name))
	}
	return n
}

// owner gives the node that a hash belongs to: the one with the highest score. When a node leaves, only what it
// owned moves; when one joins, only what it now owns does. Every version of this program must compute the same.
func (n *nodeSet) owner(hash uint64) string {
	best, at := uint64(0), -1
	for i, seed := range n.seeds {
		if score := mix(hash ^ seed); at < 0 || score > best {
			best, at = score, i
		}
	}
	if at < 0 {
		return ""
	}
	return n.names[at]
}

// checkHash places an active check: checks of one instance may be on different nodes.
func checkHash(k registry.CheckKey) uint64 {
	return hashText(hashText(instanceHash(k.Instance), k.ID), "check")
}

// instanceHash places the TTL checks of an instance, all on one node, since one heartbeat may be for all of them.
func instanceHash(k registry.InstanceKey) uint64 {
	h := hashText(hashStart, k.Service.Tenant)
	h = hashText(h, k.Service.Namespace)
	h = hashText(h, k.Service.Name)
	return hashText(h, k.ID)
}

// FNV-1a, with a NUL after each part so that the parts cannot run into each other.
const (
	hashStart uint64 = 14695981039346656037
	hashPrime uint64 = 1099511628211
)

func hashText(h uint64, text string) uint64 {
	for i := range len(text) {
		h = (h ^ uint64(text[i])) * hashPrime
	}
	return h * hashPrime
}

// mix is the finalizer of SplitMix64: it spreads every bit of its input over all of its output.
func mix(x uint64) uint64 {
	x ^= x >> 30
	x *= 0xbf58476d1ce4e5b9
	x ^= x >> 27
	x *= 0x94d049bb133111eb
	return x ^ x>>31
}
