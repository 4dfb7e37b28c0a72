//go:build !bug_stale_read

package node

// staleReads is whether reads skip the question to the leader; only a build with a seeded bug does.
const staleReads = false
