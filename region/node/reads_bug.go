//go:build bug_stale_read

package node

// staleReads: a seeded bug, a linearizable read answers what this node happens to have.
const staleReads = true
