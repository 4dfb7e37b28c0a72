package feed

import "supercluster/region/state"

// Rows is the rows of a store at one moment, with what was read of them already: many exporters say the same to many peers.
// One goroutine uses it at a time. What it gives is not changed by anybody.
type Rows struct {
	state.Reader

	standings map[standingKey]standingOf
	logs      map[logKey][]state.FeedLogEntry
}

// NewRows begins with nothing read.
func NewRows(r state.Reader) *Rows {
	return &Rows{Reader: r, standings: map[standingKey]standingOf{}, logs: map[logKey][]state.FeedLogEntry{}}
}

type standingKey struct {
	region  [16]byte
	channel uint32
}

type standingOf struct {
	standing
	ok bool
}

type logKey struct {
	alias, channel uint32
	after          uint64
}

// Peers that follow closely ask for the same few records; those that catch up read for themselves.
const (
	maxSharedLogs  = 64
	maxSharedBytes = 64 << 10
)

func (m *Rows) standing(s *Server, region [16]byte, channel uint32) (standing, bool, error) {
	k := standingKey{region, channel}
	if known, ok := m.standings[k]; ok {
		return known.standing, known.ok, nil
	}
	st, ok, err := s.readStanding(m.Reader, region, channel)
	if err == nil {
		m.standings[k] = standingOf{st, ok}
	}
	return st, ok, err
}

func (m *Rows) log(st *standing, channel uint32, after uint64) ([]state.FeedLogEntry, error) {
	k := logKey{st.alias, channel, after}
	if rows, ok := m.logs[k]; ok {
		return rows, nil
	}
	rows, err := state.FeedLog(m.Reader, st.alias, channel, &st.state, after, MaxBatchBytes)
	size := 0
	for i := range rows {
		size += len(rows[i].Record)
	}
	if err == nil && size <= maxSharedBytes && len(m.logs) < maxSharedLogs {
		m.logs[k] = rows
	}
	return rows, err
}
