// Package link carries messages between two regions over QUIC.
//
// It owns the UDP port of the federation, its connections and streams, the frames on them, and the one logical link
// that a region keeps to each peer: dialing, dialing again, and the watchdog over applied positions. Messages are
// opaque: it never looks into them and knows nothing of feeds, records or the store. Credit for what is sent belongs
// to the layer above.
//
// A connection is mutual TLS 1.3, without 0-RTT and without resumption. Its first stream carries one hello each way:
// version, level and limits. After it, each end opens streams, each of one class; classes have their own streams, so
// that bulk never delays control, and a more urgent class is sent first. A message travels in frames of at most
// 1 MiB; a larger one goes in parts. Nothing waits to fill a frame.
//
// Invariants:
//
//	I1 a connection is served only after its certificate named the peer, and its hello the protocol
//	I2 no frame is read into memory beyond what has arrived, and none beyond the limits of this end
//	I3 Recv never waits on Send, nor Send on Recv, of this end or of the peer: they have a goroutine each
//	I4 streams x stream window <= connection window, so streams that nobody reads never stop another one
//	I5 a message whose Send failed with the end of its context was not sent, and the stream is as good as before
//	I6 a link is up only while applied positions advance, once they fell behind
//
// Memory of one connection is bounded by MaxStreams x (window + queue + 2 x MaxMessage), where a queue holds at most
// the larger of QueueBytes and one message: with the defaults 16 x (2 + 8 + 16) MiB if a peer that has a valid
// certificate does its worst, and 40 KiB for each open stream that was used. Copies of messages (SendCopy) add at most 26 KiB
// that wait to be sent and 144 KiB that wait to be received, for each stream.
//
// Frames have no checksum: TLS has one for each packet, and what the feed sends has its own chain.
//
// All methods may be called concurrently; Run of an Endpoint and of a Link once each.
package link
