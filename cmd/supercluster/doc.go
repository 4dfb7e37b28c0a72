// Command supercluster is the one binary: a development region (dev), a node of a region (server), and every client
// verb (package cli).
//
// This package is the only composition root: wire.go makes every part, hands each what it needs and lists them once,
// in start order. It decides nothing that a part could decide.
package main
