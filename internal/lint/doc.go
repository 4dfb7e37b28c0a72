// Package lint is the rules of the house that a machine can check, as tests: import order and floors, purity of
// floor 0, no order of maps in it, goleak where goroutines or processes start, sizes of files and functions, one package comment per folder, an authorization row for every RPC, a
// mapping for every error kind, bubbles of virtual time through internal/bubble only, and documents that name tests,
// files and headings which exist.
//
// It owns floors.txt (the order of packages), exceptions.txt (sizes over the limit) and maporder.txt (loops over maps), each
// exception with its reason. It reads source files, and types from the build cache, and is used by nobody: run it with
// `go test ./internal/lint`.
package lint
