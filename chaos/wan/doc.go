// Package wan is a wide-area network on one machine: sites, and between each two of them a line with delay, loss,
// reordering, a cap on bandwidth, and cuts, each direction of its own.
//
// As root a site is a network namespace whose TUN device leads here, so that everything that sends IP crosses the line:
// QUIC, TCP, ping. Without root it is a UDP proxy on loopback: each datagram from a site's socket to the public address
// of another comes out of the sender's own public address, so that both ends see addresses that they can answer.
//
// It owns the path of the packets, never what they mean, and counts what it did to them. Namespaces have no name and no
// file: they live as long as this process and what it started inside, so nothing is left behind by a kill.
//
// Invariants:
//
//	I1 packets of one direction keep their order unless Reorder holds one back
//	I2 what waits is bounded; more is dropped and counted, as by a full router
//	I3 a cut drops what is under way too: after Shape returned, nothing of the cut direction arrives
//
// All methods may be called concurrently; Close once.
package wan
