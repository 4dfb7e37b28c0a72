package main

import (
	"os"
	"testing"
)

// A short run of the whole: real servers, real power losses, real changed bytes.
func TestPower(t *testing.T) {
	binary := os.Getenv("SUPERCLUSTER_BINARY")
	if binary == "" {
		if os.Getenv(requireEnv) != "" {
			t.Fatal("SUPERCLUSTER_BINARY names no server: run `make test`")
		}
		t.Skip("SKIP: SUPERCLUSTER_BINARY names no server: run `make test`")
	}
	r := &runner{binary: binary, alone: 2, three: 1, flips: 3, seed: 1, keep: t.TempDir()}
	if err := r.run(t.Context()); err != nil {
		t.Fatal(err)
	}
	if r.Failed() > 0 || r.acked == 0 {
		t.Errorf("%d writes, %d checks failed", r.acked, r.Failed())
	}
}

func TestLedger_Dark(t *testing.T) {
	l := newLedger()
	l.cut(true)
	if !l.dark || l.len() != 0 {
		t.Error("the ledger counts while the power is gone")
	}
	l.cut(false)
	if l.dark {
		t.Error("the power never comes back")
	}
}
