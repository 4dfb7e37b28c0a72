package region

import (
	"fmt"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/lni/vfs"
)

// countingFS counts the fsyncs of Raft log files.
type countingFS struct {
	vfs.FS
	syncs atomic.Int64
}

func (fs *countingFS) count(name string, f vfs.File, err error) (vfs.File, error) {
	if err != nil || !strings.Contains(name, "tandb") || !strings.HasSuffix(name, ".log") {
		return f, err
	}
	return countedFile{f, &fs.syncs}, nil
}

func (fs *countingFS) Create(name string) (vfs.File, error) {
	f, err := fs.FS.Create(name)
	return fs.count(name, f, err)
}

func (fs *countingFS) ReuseForWrite(oldname, newname string) (vfs.File, error) {
	f, err := fs.FS.ReuseForWrite(oldname, newname)
	return fs.count(newname, f, err)
}

type countedFile struct {
	vfs.File
	syncs *atomic.Int64
}

// Truncate cuts the file: logs that can be cut are zeroed ahead, as on a disk.
func (f countedFile) Truncate(size int64) error {
	return f.File.(interface{ Truncate(int64) error }).Truncate(size)
}

func (f countedFile) Sync() error {
	f.syncs.Add(1)
	return f.File.Sync()
}

// One write is one fsync of the log on each replica, wherever it was proposed.
func TestFsync_OncePerPutAndReplica(t *testing.T) {
	disks := map[string]*countingFS{}
	c := newCluster(t, "n1", "n2", "n3")
	for _, name := range c.names() {
		disks[name] = &countingFS{FS: vfs.Default}
	}
	c.tune = func(name string, cfg *Config) { cfg.Tuning.FS = disks[name] }
	for _, name := range c.names() {
		c.start(name, true)
	}
	c.ready(c.names()...)
	for _, via := range []string{c.leader(), c.follower()} {
		c.nodes[via].put(t, "warm", "up")
		before := map[string]int64{}
		for name, d := range disks {
			before[name] = d.syncs.Load()
		}
		const puts = 100
		for i := range puts {
			c.nodes[via].put(t, fmt.Sprint(i), "x")
		}
		for name, d := range disks {
			n := float64(d.syncs.Load()-before[name]) / puts
			t.Logf("via %s: %s makes %.3f fsyncs per put", via, name, n)
			if n < 0.5 {
				t.Errorf("%s makes %.3f fsyncs per put: a write is not on its disk, or the count is wrong", name, n)
			}
			if n > 1.05 {
				t.Errorf("via %s: %s makes %.3f fsyncs per put, want at most 1.05", via, name, n)
			}
		}
	}
}
