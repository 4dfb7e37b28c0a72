package clock

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"
)

func TestBuild_TheClockIsAhead(t *testing.T) {
	out := filepath.Join(t.TempDir(), "now")
	if err := Build(t.Context(), ".", "./testdata/now", out); err != nil {
		t.Fatal(err)
	}
	for _, skew := range []time.Duration{0, time.Hour, -time.Hour} {
		cmd := exec.Command(out)
		cmd.Env = append(os.Environ(), Setting(skew))
		text, err := cmd.Output()
		if err != nil {
			t.Fatal(err)
		}
		var unix int64
		var monotonic bool
		if _, err := fmt.Sscan(string(text), &unix, &monotonic); err != nil {
			t.Fatal(err)
		}
		if off := time.Unix(unix, 0).Sub(time.Now().Add(skew)); off.Abs() > time.Minute || !monotonic {
			t.Errorf("skew %v: off by %v, monotonic %v", skew, off, monotonic)
		}
	}
}
