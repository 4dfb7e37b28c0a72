package store

import (
	"bytes"
	"fmt"
	"sync"
	"testing"

	"supercluster/region/record"
)

func cacheKey(i int) record.Key {
	return record.Key{Shard: 1, Tenant: 1, Kind: record.KindConfig, Name: fmt.Sprintf("key-%04d", i)}
}

func cacheHead(i int, revision uint64, size int) *head {
	r := record.Record{Key: cacheKey(i), Value: bytes.Repeat([]byte{'v'}, size), CreateRevision: 1, ModifyRevision: revision, Version: revision}
	return newHead(record.AppendVersionKey(nil, r.Key, revision), record.AppendVersion(nil, &r, 0))
}

func (c *cache) rows() (n int, bytes int64) {
	for i := range c.shards {
		s := &c.shards[i]
		n += len(s.young) + len(s.old)
		for _, h := range s.young {
			bytes += h.size()
		}
		for _, h := range s.old {
			bytes += h.size()
		}
	}
	return n, bytes
}

func TestCache_StaysInItsLimitAndKeepsWhatIsUsed(t *testing.T) {
	const limit = 1 << 20
	c := newCache(limit)
	hot := cacheHead(0, 1, 100)
	c.put(hot)
	for i := 1; i < 20_000; i++ {
		c.put(cacheHead(i, 1, 100))
		if c.get(hot.prefix()) != hot {
			t.Fatalf("after %d rows the one that is read all the time was dropped", i)
		}
	}
	if n, bytes := c.rows(); bytes > limit || n < 100 {
		t.Errorf("%d rows take %d bytes; the limit is %d", n, bytes, limit)
	}
	c.put(cacheHead(1, 2, limit)) // larger than a whole shard
	if c.get(cacheHead(1, 2, 0).prefix()) != nil {
		t.Error("a giant row was kept")
	}
	if n, _ := c.rows(); n < 100 {
		t.Errorf("a giant row pushed out the others: %d are left", n)
	}
}

func TestCache_AGiantReplacesTheSmallRowBeforeIt(t *testing.T) {
	c := newCache(1 << 20)
	c.put(cacheHead(1, 1, 10))
	c.put(cacheHead(1, 2, 1<<20))
	if h := c.get(cacheHead(1, 0, 0).prefix()); h != nil {
		t.Errorf("the cache still has revision %d", h.revision)
	}
}

// A reader of an older view must not bury what Update is writing through, whichever comes first.
func TestCache_LateFillIsRefused(t *testing.T) {
	c := newCache(1 << 20)
	c.reset(7)
	old, new := cacheHead(1, 1, 10), cacheHead(1, 2, 10)
	c.fill(old, 7)
	if c.get(old.prefix()) != old {
		t.Fatal("a fill at the published view was refused")
	}
	c.sequence.Store(8)
	c.put(new)
	c.fill(old, 7)
	if got := c.get(old.prefix()); got != new {
		t.Errorf("the cache has revision %d, want %d", got.revision, new.revision)
	}
	c.remove(old.prefix())
	c.fill(old, 7)
	if c.get(old.prefix()) != nil {
		t.Error("a removed row came back")
	}
	c.put(old)
	c.reset(9)
	if c.get(old.prefix()) != nil {
		t.Error("a row survived the change of the whole state")
	}
}

// Of two records with one hash, neither is taken for the other.
func TestCache_HashCollision(t *testing.T) {
	c := newCache(1 << 20)
	a, b := cacheHead(1, 1, 10), cacheHead(2, 1, 10)
	s, hash := c.locate(b.prefix())
	s.put(hash, a, c.limit)
	if got := c.get(b.prefix()); got != nil {
		t.Errorf("asked for %x, got %x", b.prefix(), got.prefix())
	}
}

func TestCache_ConcurrentUse(t *testing.T) {
	c := newCache(64 << 10)
	var wg sync.WaitGroup
	for g := range 4 {
		wg.Go(func() {
			for i := range 5_000 {
				h := cacheHead((i*7+g)%300, uint64(i), 20)
				switch i % 4 {
				case 0:
					c.put(h)
				case 1:
					c.fill(h, 0)
				case 2:
					c.remove(h.prefix())
				default:
					if got := c.get(h.prefix()); got != nil && !bytes.Equal(got.prefix(), h.prefix()) {
						t.Errorf("asked for %x, got %x", h.prefix(), got.prefix())
					}
				}
			}
		})
	}
	wg.Wait()
	for i := range c.shards {
		var bytes int64
		for _, h := range c.shards[i].young {
			bytes += h.size()
		}
		if bytes != c.shards[i].bytes {
			t.Errorf("shard %d counts %d bytes and has %d", i, c.shards[i].bytes, bytes)
		}
	}
}
