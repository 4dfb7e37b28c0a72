package store

import (
	"bytes"
	"encoding/binary"
	"hash/maphash"
	"strings"
	"sync"
	"sync/atomic"

	"supercluster/region/record"
)

// cacheShards spreads the locks. A power of two.
const cacheShards = 16

// headOverhead is what a cached row costs beside its bytes: map cells, structs, and the decoded record.
const headOverhead = 450

// head is the newest version row of a record. It never changes; a newer version is another head.
type head struct {
	key, value []byte // of the row
	revision   uint64
	decoded    atomic.Pointer[record.Record] // made by the first reader that needs it
}

// newHead copies a version row.
func newHead(key, value []byte) *head {
	b := make([]byte, 0, len(key)+len(value))
	b = append(append(b, key...), value...)
	h := &head{key: b[:len(key):len(key)], value: b[len(key):]}
	h.revision = ^binary.BigEndian.Uint64(key[len(key)-8:])
	return h
}

// record decodes the row, once. The caller knows the key already. Records share the row's bytes.
func (h *head) record(k record.Key) (*record.Record, error) {
	if r := h.decoded.Load(); r != nil {
		return r, nil
	}
	r := &record.Record{Key: k, ModifyRevision: h.revision}
	r.Key.Name = strings.Clone(k.Name) // not to hold a whole request for it
	if _, err := record.DecodeVersion(h.value, r); err != nil {
		return nil, err
	}
	h.decoded.Store(r)
	return r, nil
}

// prefix is the row's key without its revision.
func (h *head) prefix() []byte { return h.key[:len(h.key)-8] }

func (h *head) size() int64 { return int64(2*len(h.key)+len(h.value)) + headOverhead }

// cache keeps the newest versions of records, bounded in bytes. What was not asked for while half of the cache filled
// up is dropped: each shard has two generations, and a row found in the old one moves to the young one.
//
// Coherence (I3): sequence is that of the view about to be published. Update raises it before it writes its rows
// through, so a reader that read an older view finds its fill refused and can not bury a newer row. A reader that
// finds a row newer than its view ignores it.
type cache struct {
	seed     maphash.Seed
	limit    int64 // of one generation of one shard
	sequence atomic.Uint64
	shards   [cacheShards]cacheShard

	hits, misses atomic.Uint64
}

type cacheShard struct {
	mu         sync.Mutex
	young, old map[uint64]*head // by hash of the prefix; of two records with one hash the later stays
	bytes      int64            // of young
	_          [24]byte
}

func newCache(limit int64) *cache {
	c := &cache{seed: maphash.MakeSeed(), limit: limit / (2 * cacheShards)}
	c.reset(0)
	return c
}

func (c *cache) locate(prefix []byte) (*cacheShard, uint64) {
	hash := maphash.Bytes(c.seed, prefix)
	return &c.shards[hash%cacheShards], hash
}

// get finds the newest version of the record with a prefix; nil when it is not known here.
func (c *cache) get(prefix []byte) *head {
	s, hash := c.locate(prefix)
	s.mu.Lock()
	h := s.young[hash]
	if h == nil {
		if h = s.old[hash]; h != nil {
			s.put(hash, h, c.limit)
		}
	}
	s.mu.Unlock()
	if h != nil && !bytes.Equal(h.prefix(), prefix) {
		return nil
	}
	return h
}

// put writes a new row through.
func (c *cache) put(h *head) {
	s, hash := c.locate(h.prefix())
	s.mu.Lock()
	s.put(hash, h, c.limit)
	s.mu.Unlock()
}

// fill keeps a row that was read from the view with a sequence, unless a newer view is on its way.
func (c *cache) fill(h *head, sequence uint64) {
	s, hash := c.locate(h.prefix())
	s.mu.Lock()
	if c.sequence.Load() == sequence {
		s.put(hash, h, c.limit)
	}
	s.mu.Unlock()
}

// remove forgets a row.
func (c *cache) remove(prefix []byte) {
	s, hash := c.locate(prefix)
	s.mu.Lock()
	s.remove(hash)
	s.mu.Unlock()
}

// reset forgets everything, before a new state is published.
func (c *cache) reset(sequence uint64) {
	c.sequence.Store(sequence)
	for i := range c.shards {
		s := &c.shards[i]
		s.mu.Lock()
		s.young, s.old, s.bytes = map[uint64]*head{}, nil, 0
		s.mu.Unlock()
	}
}

func (s *cacheShard) put(hash uint64, h *head, limit int64) {
	size := h.size()
	if before := s.young[hash]; before != nil && s.bytes-before.size()+size <= limit {
		s.young[hash] = h // most often: a row takes the place of the one before
		s.bytes += size - before.size()
		return
	}
	s.remove(hash)
	if size > limit {
		return // one giant must not push out everything else
	}
	if s.bytes+size > limit {
		s.young, s.old, s.bytes = map[uint64]*head{}, s.young, 0
	}
	s.young[hash] = h
	s.bytes += size
}

func (s *cacheShard) remove(hash uint64) {
	if h := s.young[hash]; h != nil {
		s.bytes -= h.size()
		delete(s.young, hash)
	}
	delete(s.old, hash)
}
