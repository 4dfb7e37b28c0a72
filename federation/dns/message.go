package dns

import "encoding/binary"

// The message format is small and fixed, and a query is answered in a few microseconds: a general library costs
// several times that in allocations alone (bench_test.go measures both). Tests check every answer with one.

// Types, classes and codes of RFC 1035 and its followers.
const (
	typeA     uint16 = 1
	typeNS    uint16 = 2
	typeSOA   uint16 = 6
	typeTXT   uint16 = 16
	typeAAAA  uint16 = 28
	typeSRV   uint16 = 33
	typeOPT   uint16 = 41
	typeIXFR  uint16 = 251
	typeAXFR  uint16 = 252
	typeMAILB uint16 = 253
	typeMAILA uint16 = 254
	typeANY   uint16 = 255

	classIN uint16 = 1
)

type rcode uint16

const (
	rcodeOK      rcode = 0
	rcodeFormat  rcode = 1
	rcodeServer  rcode = 2 // SERVFAIL
	rcodeName    rcode = 3 // NXDOMAIN
	rcodeNotImp  rcode = 4
	rcodeRefused rcode = 5
	rcodeBadVers rcode = 16 // needs EDNS
)

const (
	flagResponse  = 1 << 15
	flagAuthority = 1 << 10
	flagTruncated = 1 << 9
	flagRecursion = 1 << 8
	maskOpcode    = 0xf << 11
)

// Sizes in bytes.
const (
	headerSize  = 12
	optSize     = 11
	edeSize     = 6 // of the option in it that marks a stale answer
	minUDP      = 512
	maxUDP      = 1232 // what fits through any path without fragments
	maxTCP      = 65535
	maxNameSize = 255
	maxLabels   = 127
	maxQuery    = 4096
)

// query is a parsed query. It points into the packet.
type query struct {
	id    uint16
	flags uint16
	// question is the question as it came, so that the answer repeats its case; empty if it could not be read.
	question []byte
	// name is the name asked for, in lower case and wire format; labels are where its labels start.
	name   [maxNameSize]byte
	size   int
	labels [maxLabels + 1]uint8
	depth  int
	kind   uint16
	class  uint16
	// edns tells that the query has an OPT record; payload is its buffer size and do its DO bit.
	edns    bool
	version uint8
	payload int
	do      bool
}

// parse reads a query. ok is false when there is nothing to answer: too short, or itself an answer. Otherwise code
// says whether the message is well-formed.
func (q *query) parse(packet []byte) (code rcode, ok bool) {
	q.question, q.size, q.depth, q.edns, q.payload, q.do = nil, 0, 0, false, minUDP, false
	if len(packet) < headerSize {
		return 0, false
	}
	q.id = binary.BigEndian.Uint16(packet)
	q.flags = binary.BigEndian.Uint16(packet[2:])
	if q.flags&flagResponse != 0 {
		return 0, false
	}
	if q.flags&maskOpcode != 0 {
		return rcodeNotImp, true
	}
	count := func(i int) int { return int(binary.BigEndian.Uint16(packet[4+2*i:])) }
	if count(0) != 1 || count(1) != 0 || count(2) != 0 {
		return rcodeFormat, true
	}
	end, ok := q.parseQuestion(packet)
	if !ok {
		q.question = nil
		return rcodeFormat, true
	}
	for range count(3) {
		if end, ok = q.parseExtra(packet, end); !ok {
			return rcodeFormat, true
		}
	}
	if q.edns && q.version != 0 {
		return rcodeBadVers, true
	}
	return rcodeOK, true
}

func (q *query) parseQuestion(packet []byte) (end int, ok bool) {
	at := headerSize
	for {
		if at >= len(packet) {
			return 0, false
		}
		n := int(packet[at])
		// A pointer in the first name of a message has nowhere to point.
		if n > 63 || at+1+n > len(packet) || q.size+1+n > maxNameSize || q.depth > maxLabels {
			return 0, false
		}
		q.labels[q.depth] = uint8(q.size)
		q.name[q.size] = byte(n)
		for i := range n {
			q.name[q.size+1+i] = lower(packet[at+1+i])
		}
		q.size += 1 + n
		at += 1 + n
		if n == 0 {
			break
		}
		q.depth++
	}
	if at+4 > len(packet) {
		return 0, false
	}
	q.kind = binary.BigEndian.Uint16(packet[at:])
	q.class = binary.BigEndian.Uint16(packet[at+2:])
	q.question = packet[headerSize : at+4]
	return at + 4, true
}

// parseExtra reads one additional record; only OPT means anything here.
func (q *query) parseExtra(packet []byte, at int) (end int, ok bool) {
	root := at < len(packet) && packet[at] == 0
	if at, ok = skipName(packet, at); !ok || at+10 > len(packet) {
		return 0, false
	}
	kind := binary.BigEndian.Uint16(packet[at:])
	end = at + 10 + int(binary.BigEndian.Uint16(packet[at+8:]))
	if end > len(packet) {
		return 0, false
	}
	if kind == typeOPT {
		if q.edns || !root {
			return 0, false
		}
		q.edns = true
		q.payload = max(int(binary.BigEndian.Uint16(packet[at+2:])), minUDP)
		q.version = packet[at+5]
		q.do = packet[at+6]&0x80 != 0
	}
	return end, true
}

// skipName finds the end of a name that may be compressed, without following pointers.
func skipName(packet []byte, at int) (end int, ok bool) {
	for at < len(packet) {
		n := int(packet[at])
		switch {
		case n == 0:
			return at + 1, true
		case n >= 0xc0:
			return at + 2, at+2 <= len(packet)
		case n > 63:
			return 0, false
		}
		at += 1 + n
	}
	return 0, false
}

// label gives one label of the name, from the left.
func (q *query) label(i int) []byte {
	at := int(q.labels[i])
	return q.name[at+1 : at+1+int(q.name[at])]
}

// reply is an answer that is being written.
type reply struct {
	buf   []byte
	limit int // of the whole message, the OPT record already taken off
	edns  bool
	do    bool
	stale bool // implies edns
}

// begin writes header and question.
func (r *reply) begin(q *query, limit int) {
	if q.edns {
		limit -= optSize
	}
	r.limit, r.edns, r.do, r.stale = limit, q.edns, q.do, false
	r.buf = append(r.buf[:0], make([]byte, headerSize)...)
	r.buf = append(r.buf, q.question...)
	binary.BigEndian.PutUint16(r.buf, q.id)
	binary.BigEndian.PutUint16(r.buf[2:], flagResponse|q.flags&(maskOpcode|flagRecursion))
	if len(q.question) > 0 {
		r.buf[5] = 1
	}
}

// sections number the counts in the header.
const (
	sectionAnswer     = 1
	sectionAuthority  = 2
	sectionAdditional = 3
)

// add appends a record if it fits.
func (r *reply) add(section int, parts ...[]byte) bool {
	size := len(r.buf)
	for _, p := range parts {
		size += len(p)
	}
	if size > r.limit {
		return false
	}
	for _, p := range parts {
		r.buf = append(r.buf, p...)
	}
	r.count(section)
	return true
}

func (r *reply) count(section int) {
	at := 4 + 2*section
	binary.BigEndian.PutUint16(r.buf[at:], binary.BigEndian.Uint16(r.buf[at:])+1)
}

func (r *reply) set(flags uint16) {
	binary.BigEndian.PutUint16(r.buf[2:], binary.BigEndian.Uint16(r.buf[2:])|flags)
}

// markStale says in the OPT record, if there is one, that the answer is from an old copy. It comes before all records.
func (r *reply) markStale() {
	if r.edns && !r.stale {
		r.stale = true
		r.limit -= edeSize
	}
}

// staleAnswer is the option EDE (15) with the code Stale Answer (3) of RFC 8914.
var staleAnswer = [edeSize]byte{0, 15, 0, 2, 0, 3}

// end writes the code and the OPT record; the message is complete.
func (r *reply) end(code rcode) []byte {
	r.set(uint16(code) & 0xf)
	if r.edns {
		r.buf = append(r.buf, 0, 0, byte(typeOPT), maxUDP>>8, maxUDP&0xff, byte(code>>4), 0, 0, 0, 0, 0)
		if r.do {
			r.buf[len(r.buf)-4] = 0x80
		}
		if r.stale {
			r.buf[len(r.buf)-1] = edeSize
			r.buf = append(r.buf, staleAnswer[:]...)
		}
		r.count(sectionAdditional)
	}
	return r.buf
}

func lower(c byte) byte {
	if c >= 'A' && c <= 'Z' {
		return c + 'a' - 'A'
	}
	return c
}
