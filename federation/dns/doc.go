// Package dns answers DNS queries for the services of a region.
//
// It owns the names, the wire format and the limits of the DNS listener. Which endpoints an answer holds is decided
// by package federation/plan, on the view at the time of the answer. It never asks anybody else, never reads the
// machine's resolver settings, and serves one tenant.
//
// Names, below the domain (sc.internal) and each alias, in any case:
//
//	[<tag>.]<service>.service[.<namespace>.ns][.<region>]        A, AAAA, SRV, TXT
//	_<service>._tcp[.service][.<namespace>.ns][.<region>]        the same, as RFC 2782 has it
//	_<service>._<tag>[.service][.<namespace>.ns][.<region>]      only instances with the tag
//	_<port>._tcp.<service>.service[.<namespace>.ns][.<region>]   a named port
//	<8 or 32 hex digits>.addr                                    A or AAAA: the address that the digits are
//	ns                                                           A, AAAA: the server, as named by NS and SOA
//
// Without a region the answer is the plan: A and AAAA are its first tier, SRV all tiers by priority. With one (its
// name, an alias or its id) it is that region only. `global` is all healthy endpoints, the nearest region first. A
// region that nobody knows is NXDOMAIN. One that is away is answered from the copy, marked as stale (RFC 8914) for
// clients with EDNS where Config.Ages says that it is old; so is an answer of endpoints that are not healthy, which is given when
// none is. SRV priorities and the order of A and AAAA follow the plan; the TTL does not outlive what may soon change.
//
// SRV records point to names under addr, so that every target resolves, whatever the id of its instance looks like,
// and instances on one address share one target. TXT has the definition's metadata and the instances' metadata as
// key=value, and their tags as tag=value, each once; texts over 200 bytes are left out, so that every record fits
// into the smallest message. A name exists (NODATA, not NXDOMAIN) as long as its service does, healthy or not; a
// tagged one as long as an instance has the tag; in every region that is known. `global`, `ns` and `service` are
// reserved words: they name no namespace, and neither they nor `addr` a region.
//
// Invariants:
//
//	I1 an answer that is shortened has TC set, holds some of the records, and is never empty
//	I2 no packet can make this package panic, recurse, or hold memory beyond its limits
//	I3 a query for a foreign name, of type ANY, or for a transfer is refused; nothing is asked elsewhere
//	I4 before the first view, and only then, the answer is SERVFAIL
//	I5 a cached answer is used only while the service, the order of regions and the region asked for are as they were
//	I6 that a region is away makes no answer an error, nor empty
//
// The API is safe for concurrent use; Run may be called once.
package dns
