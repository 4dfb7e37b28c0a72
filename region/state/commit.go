package state

import "supercluster/region/record"

// commit writes what is planned as one revision: a version row for each change, the counters, the transaction row, and
// the commit that consumers get. Without changes it does nothing.
func (m *machine) commit() error {
	p := &m.plan
	if len(p.changes) == 0 {
		return nil
	}
	events := m.takeEvents(len(p.changes))
	m.changes = m.changes[:0]
	for i := range p.changes {
		c := &p.changes[i]
		if err := m.writeVersion(c); err != nil {
			return err
		}
		e := record.Event{Type: record.EventPut, Record: c.record, Previous: c.before.revision}
		if c.record.Deleted {
			e.Type, e.Record.Attributes = record.EventDelete, record.Attributes{}
			if c.gone != nil {
				e.Record.Origin = *c.gone
			}
		}
		events[i] = e
		m.changes = append(m.changes, record.Change{Type: e.Type, Key: e.Record.Key, Previous: e.Previous})
	}
	m.key = record.AppendTransactionKey(m.key[:0], p.shard, p.revision)
	m.row = record.AppendTransaction(m.row[:0], &record.Transaction{
		Writer: p.writer, Trace: p.trace, RequestID: p.request, Changes: m.changes, Home: p.home, HomePosition: p.homeAt,
	})
	if err := m.kv.Set(m.key, m.row); err != nil {
		return err
	}
	if err := m.exportPlan(); err != nil {
		return err
	}
	m.head.Positions = m.head.Positions.With(p.shard, p.revision)
	if m.out.Commits == nil {
		m.out.Commits = make([]record.Commit, 0, len(m.entry.Ops))
	}
	m.out.Commits = append(m.out.Commits, record.Commit{
		Position: record.Position{Shard: p.shard, Revision: p.revision},
		Writer:   p.writer, Trace: p.trace, RequestID: p.request, Events: events,
	})
	return nil
}

// takeEvents takes n events from the slab.
func (m *machine) takeEvents(n int) []record.Event {
	if cap(m.events)-len(m.events) < n {
		m.events = make([]record.Event, 0, max(n, len(m.entry.Ops)-len(m.out.Commits)))
	}
	at := len(m.events)
	m.events = m.events[:at+n]
	return m.events[at : at+n : at+n]
}

// writeVersion writes the row of one change and what follows from it.
func (m *machine) writeVersion(c *change) error {
	k := c.record.Key
	m.key = record.AppendVersionKey(m.key[:0], k, c.record.ModifyRevision)
	m.row = record.AppendVersion(m.row[:0], &c.record, c.ordinal)
	if err := m.kv.Set(m.key, m.row); err != nil {
		return err
	}
	size, old := uint64(len(m.key)+len(m.row)), uint64(c.before.size)
	var d delta
	switch {
	case c.record.Deleted:
		d = delta{keys: ^uint64(0), bytes: -old, history: old + size}
	case c.before.live():
		d = delta{bytes: size - old, history: old}
	default:
		d = delta{keys: 1, bytes: size}
	}
	if err := m.charge(k, d); err != nil {
		return err
	}
	if k.Kind == record.KindConfig {
		return m.keepHistory(c)
	}
	return nil
}
