package procs

import (
	"os"
	"os/exec"
	"path/filepath"
)

// FindEnvoy gives the path of an Envoy binary: the one given, that of ENVOY_BIN, that of `make tools` below the root of
// the checkout, or the one on PATH; "" when there is none.
func FindEnvoy(given, root string) string {
	candidates := []string{given, os.Getenv("ENVOY_BIN"), filepath.Join(root, ".tools", "bin", "envoy")}
	if found, err := exec.LookPath("envoy"); err == nil {
		candidates = append(candidates, found)
	}
	for _, path := range candidates {
		if path == "" {
			continue
		}
		if abs, err := filepath.Abs(path); err == nil {
			if _, err := os.Stat(abs); err == nil {
				return abs
			}
		}
	}
	return ""
}
