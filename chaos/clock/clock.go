// Package clock builds a server whose clock can be wrong.
//
// Nothing that a machine offers makes one Go program see another time, so the program is built with a `time.Now` that adds
// what Env says: an overlay of the local toolchain's own source, made at build time in the user's cache and never committed.
// The monotonic part of a time is left alone, as by a clock that somebody set. It owns the build and nothing that runs.
package clock

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"
)

// Env is the variable with the seconds that the clock is ahead.
const Env = "CHAOS_CLOCK_SKEW"

const (
	original = "sec, nsec, mono := runtimeNow()"
	extra    = `package time

import "syscall"

// chaosSkew is read once, when the program starts.
var chaosSkew = func() (skew int64) {
	text, _ := syscall.Getenv("` + Env + `")
	sign := int64(1)
	for i, c := range text {
		if i == 0 && c == '-' {
			sign = -1
			continue
		}
		skew = 10*skew + int64(c-'0')
	}
	return sign * skew
}()
`
)

// Build builds a package of the module in dir into a file.
func Build(ctx context.Context, dir, pkg, out string, flags ...string) error {
	cache, err := os.UserCacheDir()
	if err != nil {
		return err
	}
	// The toolchain's cache knows the result again only if the changed source is where it was.
	kept := filepath.Join(cache, "supercluster-clock")
	if err := os.MkdirAll(kept, 0o700); err != nil {
		return err
	}
	overlay, err := writeOverlay(ctx, kept)
	if err != nil {
		return err
	}
	args := append([]string{"build", "-overlay", overlay, "-o", out}, append(flags, pkg)...)
	cmd := exec.CommandContext(ctx, "go", args...)
	cmd.Dir = dir
	if text, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("build a server with another clock: %w: %s", err, text)
	}
	return nil
}

func writeOverlay(ctx context.Context, dir string) (path string, err error) {
	root, err := exec.CommandContext(ctx, "go", "env", "GOROOT").Output()
	if err != nil {
		return "", err
	}
	folder := filepath.Join(strings.TrimSpace(string(root)), "src", "time")
	source, err := os.ReadFile(filepath.Join(folder, "time.go"))
	if err != nil {
		return "", err
	}
	if strings.Count(string(source), original) != 1 {
		return "", fmt.Errorf("the toolchain's time.Now is not the one that is known: %q is not in it once", original)
	}
	changed := strings.Replace(string(source), original, original+"\n\tsec += chaosSkew", 1)
	replace := map[string]string{}
	for name, content := range map[string]string{"time.go": changed, "chaos_skew.go": extra} {
		replace[filepath.Join(folder, name)] = filepath.Join(dir, name)
		if err := os.WriteFile(filepath.Join(dir, name), []byte(content), 0o600); err != nil {
			return "", err
		}
	}
	text, err := json.Marshal(map[string]any{"Replace": replace})
	if err != nil {
		return "", err
	}
	path = filepath.Join(dir, "overlay.json")
	return path, os.WriteFile(path, text, 0o600)
}

// Setting is the environment of a server whose clock is ahead by d, or behind.
func Setting(d time.Duration) string { return fmt.Sprintf("%s=%d", Env, int64(d/time.Second)) }
