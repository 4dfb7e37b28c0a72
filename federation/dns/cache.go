package dns

import (
	"hash/maphash"
	"sync"

	"supercluster/federation/plan"
	"supercluster/registry"
)

const (
	cacheShards = 16
	// perShard bounds a shard; a full one starts over. Only names of existing services are kept, so that no stream of
	// invented names can push them out.
	perShard = 4096
)

// cache keeps the record sets of names. A set is good as long as its service, the order of regions and the region asked for are
// the very ones it was made of: then a query costs two map lookups, whatever the size of the service or of the registry.
type cache struct {
	seed   maphash.Seed
	shards [cacheShards]shard
}

type shard struct {
	mu   sync.RWMutex
	sets map[string]*rrset
}

func newCache() *cache {
	c := &cache{seed: maphash.MakeSeed()}
	for i := range c.shards {
		c.shards[i].sets = map[string]*rrset{}
	}
	return c
}

func (c *cache) shard(key []byte) *shard {
	return &c.shards[maphash.Bytes(c.seed, key)%cacheShards]
}

// get finds the set of a name and type, if it is still good.
func (c *cache) get(v *registry.View, reach *plan.Reach, key []byte) (*rrset, bool) {
	s := c.shard(key)
	s.mu.RLock()
	set, ok := s.sets[string(key)]
	s.mu.RUnlock()
	if !ok || set.reach != reach {
		return nil, false
	}
	if set.region != nil {
		if r, ok := v.RegionNamed(set.label); !ok || r != set.region {
			return nil, false
		}
	}
	now, ok := v.Service(set.key)
	return set, ok && now == set.service
}

func (c *cache) put(key []byte, set *rrset) {
	s := c.shard(key)
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.sets) >= perShard {
		clear(s.sets)
	}
	s.sets[string(key)] = set
}
