//go:build bug_watch_drop

package store

// dropsBehind: a seeded bug, a follower that is too slow for the buffer loses what it did not get.
const dropsBehind = true
