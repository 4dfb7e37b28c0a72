package dns

import (
	"bytes"
	"encoding/hex"
	"net/netip"
	"strings"

	"supercluster/internal/fault"
)

// maxDomain bounds a domain in wire format: with the longest question and the longest target one SRV record still
// fits into 512 bytes.
const maxDomain = 128

// zone is a domain that is served: in wire format and lower case.
type zone struct {
	wire  string
	depth int
}

func newZone(field, name string) (zone, error) {
	var z zone
	for label := range strings.SplitSeq(strings.TrimSuffix(strings.ToLower(name), "."), ".") {
		if label == "" || len(label) > 63 || strings.Trim(label, "abcdefghijklmnopqrstuvwxyz0123456789-_") != "" {
			return zone{}, fault.Field(field, "%q is not a domain name", name)
		}
		z.wire += string(rune(len(label))) + label
		z.depth++
	}
	z.wire += "\x00"
	if len(z.wire) > maxDomain {
		return zone{}, fault.Field(field, "%q is too long, the limit is %d bytes", name, maxDomain-2)
	}
	return z, nil
}

// holds reports whether a name is in the zone.
func (z zone) holds(q *query) bool {
	if q.depth < z.depth {
		return false
	}
	at := q.size - len(z.wire)
	return at >= 0 && int(q.labels[q.depth-z.depth]) == at && string(q.name[at:q.size]) == z.wire
}

// offset is where the zone's name starts in the name asked for.
func (z zone) offset(q *query) int { return q.size - len(z.wire) }

// subjectKind is what a name stands for.
type subjectKind uint8

const (
	subjectNone    subjectKind = iota // does not exist
	subjectEmpty                      // exists, has no records of its own
	subjectApex                       // the domain itself
	subjectServer                     // ns.<domain>
	subjectAddr                       // <hex>.addr.<domain>
	subjectService                    // the endpoints of a service
)

// subject is what a name stands for, as far as the name tells: whether the service exists is another matter.
type subject struct {
	kind      subjectKind
	addr      netip.Addr
	namespace string // empty: default
	service   string
	tag       string
	port      string
	// region is the region asked for, wordGlobal for all; empty: the plan.
	region string
	// group tells that the name only groups others: it exists if the service does.
	group bool
}

// wordGlobal stands for all regions.
const wordGlobal = "global"

// read reads the labels before the domain. For `ns` it also stands for "the namespaces", which changes nothing.
func read(q *query, depth int) subject {
	if depth == 0 {
		return subject{kind: subjectApex}
	}
	switch last := q.label(depth - 1); {
	case string(last) == "addr":
		return readAddr(q, depth)
	case depth == 1 && string(last) == "ns":
		return subject{kind: subjectServer}
	case string(last) == "ns", string(last) == "service", bytes.HasPrefix(last, []byte("_")):
		return readNames(q, depth)
	default:
		s := readNames(q, depth-1)
		s.region = string(last)
		return s
	}
}

// readNames reads the labels before the region, or before the domain when there is none.
func readNames(q *query, depth int) subject {
	last := ""
	if depth > 0 {
		last = string(q.label(depth - 1))
	}
	switch {
	case last == "service":
		return readService(q, depth-1, "", false)
	case last != "ns":
		return readService(q, depth, "", true)
	case depth == 1:
		return subject{kind: subjectEmpty}
	}
	namespace := string(q.label(depth - 2))
	switch {
	case depth == 2:
		return subject{kind: subjectEmpty, namespace: namespace}
	case string(q.label(depth-3)) == "service":
		return readService(q, depth-3, namespace, false)
	default:
		return readService(q, depth-2, namespace, true)
	}
}

// readService reads the labels before `service`, or, in the short form without that word, before the namespace or
// domain: the short form takes RFC 2782 names only.
func readService(q *query, depth int, namespace string, short bool) subject {
	s := subject{kind: subjectService, namespace: namespace}
	label := func(i int) string { return string(q.label(i)) }
	rfc := depth >= 2 && strings.HasPrefix(label(0), "_") && strings.HasPrefix(label(1), "_")
	switch {
	case depth == 0, depth == 1 && label(0) == "_tcp":
		return subject{kind: subjectEmpty, namespace: namespace}
	case depth == 1 && !short:
		s.service = label(0)
	case depth == 2 && rfc:
		s.service = label(0)[1:]
		if tag := label(1)[1:]; tag != "tcp" {
			s.tag = tag
		}
	case depth == 2 && !short:
		s.service = label(1)
		if s.tag = label(0); s.tag == "_tcp" {
			s.tag, s.group = "", true
		}
	case depth == 3 && rfc && !short && label(1) == "_tcp":
		s.service, s.port = label(2), label(0)[1:]
	default:
		return subject{}
	}
	if s.service == "" {
		return subject{}
	}
	return s
}

func readAddr(q *query, depth int) subject {
	if depth == 1 {
		return subject{kind: subjectEmpty}
	}
	raw, err := hex.DecodeString(string(q.label(0)))
	if depth != 2 || err != nil {
		return subject{}
	}
	addr, ok := netip.AddrFromSlice(raw)
	if !ok {
		return subject{}
	}
	return subject{kind: subjectAddr, addr: addr}
}

// target is the first two labels of the name under addr that an address has, in wire format.
func target(addr netip.Addr) []byte {
	digits := hex.EncodeToString(addr.AsSlice())
	return append(append([]byte{byte(len(digits))}, digits...), "\x04addr"...)
}
