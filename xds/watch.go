package xds

import (
	"strconv"
	"strings"
	"time"

	"supercluster/xds/resources"
)

// marks is a set of entries in the order of their first mark. It is a slice because it nearly always holds one or
// two; duplicates go when it has doubled, so that its size stays within twice the number of names.
type marks struct {
	list      []*entry
	compactAt int
}

const smallMarks = 32

func (m *marks) add(e *entry) {
	m.list = append(m.list, e)
	if len(m.list) >= max(m.compactAt, smallMarks) {
		m.list = distinct(m.list)
		m.compactAt = 2 * len(m.list)
	}
}

func (m *marks) clear() { *m = marks{} }

func (m *marks) empty() bool { return len(m.list) == 0 }

// distinct removes what occurs again, in place.
func distinct(list []*entry) []*entry {
	if len(list) < 2 {
		return list
	}
	seen := make(map[*entry]struct{}, len(list))
	kept := list[:0]
	for _, e := range list {
		if _, again := seen[e]; !again {
			seen[e] = struct{}{}
			kept = append(kept, e)
		}
	}
	clear(list[len(kept):])
	return kept
}

// watch is one type on one stream: what the client asked for, what it is to be told, and what it said to that.
type watch struct {
	session *session
	kind    resources.Type

	// What the client asked for.
	requested bool
	wild      bool              // everything of the scope
	legacy    bool              // wild because the first request named nothing; ends at the first name
	named     map[uint32]uint32 // by the entry's id: where the watch stands in its subs; under the world's lock
	digest    uint64            // of the names of the last request that was taken (state of the world)

	// What it is to be told. dirty and gone belong to the publisher too, under the world's lock.
	dirty    marks
	dirtySeq uint64
	gone     marks
	goneSeq  uint64
	asked    []*entry // to be answered, whatever the client has
	all      bool     // everything of the scope is to be sent
	must     bool     // to be answered even when there is nothing to say

	// What was sent, and what the client said.
	nonce        uint64
	pending      bool
	pendingBytes int
	sentAt       time.Time
	sentSeq      uint64 // every mark up to it was in a response
	ackedSeq     uint64 // every mark up to it was acknowledged
	rejected     bool   // the last response was not accepted
	blockedSince time.Time

	sentHash, ackedHash uint64
	ackedAt             time.Time
	nack                string
	nackAt              time.Time
	nacks               uint64
}

// upserts reports whether there is something to send, removals aside.
func (w *watch) upserts() bool {
	return w.must || w.all || len(w.asked) > 0 || !w.dirty.empty()
}

func (w *watch) nonceText() string { return strconv.FormatUint(w.nonce, 10) }

// current reports whether a nonce is that of the last response.
func (w *watch) current(nonce string) bool { return w.nonce > 0 && nonce == w.nonceText() }

// accept takes an acknowledgement of the response in flight.
func (w *watch) accept(now time.Time) {
	w.pending = false
	w.rejected = false
	w.ackedSeq = max(w.ackedSeq, w.sentSeq)
	w.ackedHash = w.sentHash
	w.ackedAt = now
	w.nack = ""
}

// reject takes a rejection. Nothing is sent again because of it: only new bytes are.
func (w *watch) reject(text string, now time.Time) {
	w.pending = false
	w.rejected = true
	if len(text) > maxNACKText {
		text = strings.ToValidUTF8(text[:maxNACKText], "") // half a character at the end would make the list of all proxies unsendable
	}
	w.nack = text
	w.nackAt = now
	w.nacks++
}

// maxNACKText bounds what is kept of a client's complaint.
const maxNACKText = 2048

// covered reports whether the client has acknowledged everything that was marked up to seq. A type that it never
// asked for hides nothing from it.
func (w *watch) covered(seq uint64) bool {
	switch {
	case !w.requested || w.ackedSeq >= seq:
		return true
	case w.rejected || w.pending:
		return false
	default:
		return !w.upserts()
	}
}

// names reports whether the client named an entry.
func (w *watch) names(e *entry) bool {
	_, ok := w.named[e.id]
	return ok
}

// each gives the entries that the client named.
func (w *watch) each(visit func(e *entry)) {
	byID := w.session.space.tables[w.kind].byID
	for id := range w.named {
		visit(byID[id])
	}
}

// subscribe adds a name; it reports false when it was there.
func (w *watch) subscribe(e *entry) bool {
	if w.names(e) {
		return false
	}
	if w.named == nil {
		w.named = map[uint32]uint32{}
	}
	w.named[e.id] = uint32(len(e.subs))
	e.subs = append(e.subs, w)
	return true
}

// unsubscribe removes a name; the last subscriber takes its place in the entry.
func (w *watch) unsubscribe(e *entry) bool {
	at, ok := w.named[e.id]
	if !ok {
		return false
	}
	delete(w.named, e.id)
	last := len(e.subs) - 1
	moved := e.subs[last]
	e.subs[at] = moved
	e.subs[last] = nil
	e.subs = e.subs[:last]
	if moved != w {
		moved.named[e.id] = at
	}
	return true
}

// wants reports whether the client wants an entry now.
func (w *watch) wants(e *entry) bool {
	return w.names(e) || w.wild && w.session.scopes[w.kind].has(e)
}
