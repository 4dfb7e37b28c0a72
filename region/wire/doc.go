// Package wire carries everything that the nodes of one region say to each other, on one TCP port per node.
//
// It owns the port, its frames and its three kinds of connection, told apart by the first frame under the same TLS:
// raft (batches of Raft messages), snapshot (chunks of one snapshot) and node (requests and answers between nodes,
// and the liveness that follows from them). It is Dragonboat's transport, and the place where tests cut, delay,
// repeat and reorder. It never looks into Raft messages and never decides who leads or what is stored.
//
// Invariants:
//
//	I1 no frame is read into memory beyond its kind's limit, and no frame with a wrong checksum is delivered
//	I2 a connection is served only after a first frame that names this region and a member other than this node
//	I3 a call is answered once: with its answer, an error of the handler, or a failure of the connection
//	I4 everything that waits has a time limit: dialing, handshake, writing a frame, answering a call
//
// All methods may be called concurrently; Handle only before Run.
package wire
