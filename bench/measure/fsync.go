package measure

import (
	"os"
	"path/filepath"
	"sort"
	"time"
)

// Fsync measures the floor of a durable write: append 4 KiB and fsync, n times in a folder. It gives the median.
func Fsync(dir string, n int) (time.Duration, error) {
	file, err := os.Create(filepath.Join(dir, "fsync-floor"))
	if err != nil {
		return 0, err
	}
	defer os.Remove(file.Name())
	defer file.Close()
	block := make([]byte, 4096)
	took := make([]time.Duration, 0, n)
	for range n {
		start := time.Now()
		if _, err := file.Write(block); err != nil {
			return 0, err
		}
		if err := file.Sync(); err != nil {
			return 0, err
		}
		took = append(took, time.Since(start))
	}
	sort.Slice(took, func(i, j int) bool { return took[i] < took[j] })
	return Percentile(took, 50), nil
}
