//go:build !bug_watch_drop

package store

// dropsBehind is whether a follower that the ring does not serve any more goes on at its end; only a build with a seeded
// bug does that.
const dropsBehind = false
