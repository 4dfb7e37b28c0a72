package store

import (
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// Pebble takes its memory tables out of its cache: a load must leave room for blocks, or every lookup reads its index,
// filter and data from disk.
func TestPebbleOptions_MemTablesLeaveTheBlockCache(t *testing.T) {
	r := start(t, testConfig(vfs.NewMem()))
	o := r.pebbleOptions()
	if left := o.CacheSize - 2*int64(o.MemTableSize); left < r.cfg.BlockCacheBytes || left < 16<<20 {
		t.Errorf("a memory table that fills and one that is flushed leave %d of the block cache's %d bytes", left, r.cfg.BlockCacheBytes)
	}
}
