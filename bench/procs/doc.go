// Package procs runs the servers of the benchmarks as processes of their own, ours and the peers' alike, on
// loopback, with their data in temporary folders, and ends them. A Group must be closed by its owner.
package procs
