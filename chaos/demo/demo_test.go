package main

import (
	"bytes"
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"supercluster/chaos/tally"
	"supercluster/internal/procs"
)

// Without dig the demo says so; where nothing may be skipped it fails.
func TestWithoutDig(t *testing.T) {
	var out bytes.Buffer
	d := &demo{Tally: tally.Tally{Out: &out}}
	t.Setenv(requireEnv, "")
	if err := d.withoutDig(); err != nil || !strings.Contains(out.String(), "SKIP dig") {
		t.Errorf("got %v and %q, want a line that says SKIP", err, out.String())
	}
	t.Setenv(requireEnv, "1")
	if err := d.withoutDig(); err == nil {
		t.Errorf("%s=1 and no dig, but the demo passes", requireEnv)
	}
}

// The demo passes its own checks. Its backends are the demo's program, so it is built first.
func TestDemo(t *testing.T) {
	binary := os.Getenv("SUPERCLUSTER_BINARY")
	envoy := procs.FindEnvoy("", "../..")
	if binary == "" || envoy == "" {
		if os.Getenv(requireEnv) != "" {
			t.Fatal("the server or Envoy is missing: run `make test`")
		}
		t.Skip("SKIP: the server or Envoy is missing: run `make test`")
	}
	program := filepath.Join(t.TempDir(), "demo")
	if out, err := exec.Command("go", "build", "-o", program, ".").CombinedOutput(); err != nil {
		t.Fatalf("build the demo: %v: %s", err, out)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 4*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, program, "-binary", binary, "-envoy", envoy)
	cmd.Cancel = func() error { return cmd.Process.Signal(os.Interrupt) }
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	if err := cmd.Run(); err != nil {
		t.Fatalf("the demo failed: %v\n%s", err, out.String())
	}
}
