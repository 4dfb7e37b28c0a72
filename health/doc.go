// Package health finds out which instances are alive and writes it down when it changes.
//
// It owns the active checks (HTTP, TCP, gRPC), the heartbeats of TTL checks and their division among the nodes of the
// region. Each check belongs to one live node, chosen by rendezvous hash, so every node computes the same owner
// without asking; when a node dies the others take over its checks and nobody else's move. A heartbeat may be sent to
// any node; it goes to the owner over the node channel and ends in one atomic store. It never decides which endpoints
// a client gets and never writes anything but check status records. Instances of other regions are never probed, expired
// or spoken for: their regions do that, and their records come with the health.
//
// Invariants:
//
//	I1 only transitions are written: a probe or heartbeat that changes nothing writes nothing
//	I2 a transition is retried until it is written, superseded, or its check is gone or belongs to another node
//	I3 a check that is unregistered or drains is not probed again once the view shows it
//	I4 probes follow no redirect, use no proxy, and connect to no link-local or metadata address unless allowed
//	I5 memory, probes in flight, queues and messages are bounded, whatever targets and clients do
//	I6 instances are not failed for a pause of this process: probes in flight over it do not count and what
//	   expires after it, or together with most others, is held for one TTL, once
//
// Heartbeat and HandleHeartbeat may be called by any number of goroutines, Run once.
package health
