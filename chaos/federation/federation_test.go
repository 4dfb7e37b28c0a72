package main

import (
	"context"
	"os"
	"testing"
	"time"

	pb "supercluster/api/gen/supercluster/v1"
	"supercluster/chaos/wan"
)

// A short run of the first part of what `make chaos-scenes` does: one exporter, one importer and one leader are killed.
func TestKilling(t *testing.T) {
	binary := os.Getenv("SUPERCLUSTER_BINARY")
	if binary == "" {
		if os.Getenv(wan.RequireEnv) != "" {
			t.Fatal("SUPERCLUSTER_BINARY names no server: run `make test`")
		}
		t.Skip("SKIP: SUPERCLUSTER_BINARY names no server: run `make test`")
	}
	ctx, cancel := context.WithTimeout(t.Context(), 4*time.Minute)
	defer cancel()
	r := &runner{options: options{binary: binary, kills: 3}}
	if err := r.run(ctx); err != nil {
		t.Fatal(err)
	}
	if r.Failed() > 0 || r.Passed() == 0 {
		t.Errorf("%d checks passed, %d failed", r.Passed(), r.Failed())
	}
}

// The judge sees what the run is about: a lost entry, one applied twice, and a version seen twice by a watch.
func TestSame(t *testing.T) {
	a := map[string]entry{"x": {"1", 1}, "y": {"2", 3}}
	if !same(a, map[string]entry{"x": {"1", 1}, "y": {"2", 3}}) {
		t.Error("equal entries are not the same")
	}
	for _, b := range []map[string]entry{
		{"x": {"1", 1}},
		{"x": {"1", 1}, "y": {"2", 4}},
		{"x": {"1", 1}, "y": {"3", 3}},
		{"x": {"1", 1}, "y": {"2", 3}, "z": {"", 1}},
	} {
		if same(a, b) {
			t.Errorf("%v is the same as %v", b, a)
		}
	}
}

func TestReader_SeesAVersionTwice(t *testing.T) {
	r := newReader(nil)
	r.take([]*pb.Event{event("a", 1), event("a", 2), event("b", 1)})
	if len(r.twice) != 0 || r.events != 3 {
		t.Errorf("%d events, twice %v", r.events, r.twice)
	}
	r.take([]*pb.Event{event("a", 2)})
	if len(r.twice) != 1 {
		t.Errorf("twice %v", r.twice)
	}
}

func event(name string, version uint64) *pb.Event {
	return &pb.Event{Name: name, Meta: &pb.Meta{Version: version}}
}
