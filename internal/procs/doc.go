// Package procs runs servers as processes of their own on loopback, ours and others', with their logs and data in
// one temporary folder, and ends them. Benchmarks, the demo, chaos and the tests of the binary use it.
//
// It owns processes and ports, never what the processes mean. A Group belongs to one goroutine; its Processes may be
// asked from any. A child dies with its parent.
package procs
