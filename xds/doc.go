// Package xds serves configuration to Envoy proxies and gRPC clients over aggregated discovery streams: the delta
// protocol that Envoy speaks and the state-of-the-world protocol that every gRPC client speaks, from one core.
//
// It owns the streams, what each client was sent and said about it, and the one place where published resources
// live: the world. It never decides which endpoints a client gets (federation/plan), what a resource looks like
// (xds/resources), who may connect (registry/access), and it never writes to the store.
//
// How a change travels: the publisher gets a view and what changed, rebuilds and encodes the touched resources
// once, and swaps them into the world under its lock; in the same critical section it marks them in the streams
// that asked for them. Then it has those streams compose a response from their marks and hand it to gRPC, on all
// cores: the resource bytes are shared, only a header of some hundred bytes is a stream's own. While a response is
// not acknowledged, changes gather as marks. There is no timer before a push, but for what changes only in regions that are away while another serves: that
// waits until such a region is back, some seconds at most, so that its clients get its catching up as one change. What could block on a client is left
// to that stream's own goroutine.
//
// The order is that of make before break: clusters and endpoints go before listeners and routes, which wait for
// their acknowledgement; clusters are removed when nothing refers to them any more. Endpoints never wait for clusters:
// Envoy acknowledges a cluster that warms only after its endpoints came, so they follow at once on the same stream,
// and they are sent again after a cluster that changed.
//
// Invariants:
//
//	I1 at most one response of a type is un-acknowledged on a stream
//	I2 a listener or route that a client gets refers to clusters it has acknowledged; the wait for that is bounded
//	I3 a cluster is removed from a client only after it acknowledged the routes that no longer use it
//	I4 bytes that a client rejected are not sent again until they change, or until the client asks anew
//	I5 a resource that does not validate is never published: its last good bytes stay
//	I6 no client ever gets an empty configuration because the server does not know better: a stream is refused
//	   with Unavailable before the first view and with InvalidArgument when its role is unknown
//	I7 removals of endpoints are never sent: a cluster without endpoints has an explicit empty assignment
//
// A Server is safe for concurrent use. Locks are taken in the order session, world; the publisher takes only the
// world's, so that a slow stream can never hold up a change for others.
package xds
