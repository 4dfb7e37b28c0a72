package federation

import (
	"sync"
	"time"

	"supercluster/region/record"
)

// heads keeps the heads that were signed last: one serves all peers that are told of the same position.
type heads struct {
	mu   sync.Mutex
	made map[record.FeedHead]madeHead
}

type madeHead struct {
	at      int64
	encoded []byte
}

const (
	// headShared is how long a head is shared: so much older than it could be is the time that it carries.
	headShared = int64(250 * time.Millisecond)
	maxShared  = 1024
)

// shared gives the head made of an unsigned one, by whoever needed it first.
func (h *heads) shared(unsigned record.FeedHead, now int64, fresh func() []byte) []byte {
	h.mu.Lock()
	defer h.mu.Unlock()
	if last, ok := h.made[unsigned]; ok && now >= last.at && now-last.at < headShared {
		return last.encoded
	}
	if h.made == nil || len(h.made) >= maxShared {
		h.made = map[record.FeedHead]madeHead{}
	}
	m := madeHead{at: now, encoded: fresh()}
	h.made[unsigned] = m
	return m.encoded
}
