package main

import (
	"context"
	"os"
	"testing"
	"time"

	"supercluster/internal/procs"
)

// A short run of what `make chaos` does in full: real processes, the leader killed under a recorded history.
func TestKillLeader(t *testing.T) {
	binary := os.Getenv("SUPERCLUSTER_BINARY")
	if binary == "" {
		if os.Getenv("SUPERCLUSTER_REQUIRE_CLIENTS") != "" {
			t.Fatal("SUPERCLUSTER_BINARY names no server: run `make test`")
		}
		t.Skip("SKIP: SUPERCLUSTER_BINARY names no server: run `make test`")
	}
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	envoy := procs.FindEnvoy("", "../..")
	r := &runner{options: options{binary: binary, envoy: envoy, kills: 3, writers: 8}}
	if err := r.run(ctx); err != nil {
		t.Fatal(err)
	}
	if r.Failed() > 0 || r.Passed() == 0 {
		t.Errorf("%d checks passed, %d failed", r.Passed(), r.Failed())
	}
}
