package state

import "supercluster/region/record"

// maxTickNanos bounds one tick: a leader counts at most half a second for a gap of its own loop, so a longer tick is a
// mistake that would expire everything.
const maxTickNanos = int64(10e9)

// claim gives the clock to the leader of a newer term. The clock does not move.
func (m *machine) claim(c *record.Claim, r *record.Result) {
	clock := &m.head.Clock
	if c.Term <= clock.Term {
		refuse(r, record.StatusStale, "term %d claims the clock of term %d", c.Term, clock.Term)
		return
	}
	clock.Term, clock.Owner, clock.Sequence = c.Term, c.Replica, 0
}

// tick moves the clock on, if it is the next tick of the term that claimed it.
func (m *machine) tick(t *record.Tick, r *record.Result) {
	clock := &m.head.Clock
	switch {
	case t.Term != clock.Term || t.Term == 0 || t.Sequence != clock.Sequence+1:
		refuse(r, record.StatusStale, "tick %d of term %d does not follow tick %d of term %d",
			t.Sequence, t.Term, clock.Sequence, clock.Term)
	case t.DeltaNanos < 0 || t.DeltaNanos > maxTickNanos:
		refuse(r, record.StatusInvalid, "a tick moves the clock by %d ns; the limit is %d", t.DeltaNanos, maxTickNanos)
	default:
		clock.Sequence = t.Sequence
		clock.Now += t.DeltaNanos
	}
}

// alarm raises or clears an alarm of one replica. It is active while any replica has it raised.
func (m *machine) alarm(a *record.Alarm, r *record.Result) error {
	if a.Kind != record.AlarmNoSpace {
		refuse(r, record.StatusInvalid, "there is no alarm %d", a.Kind)
		return nil
	}
	m.key = record.AppendAlarmKey(m.key[:0], a.Kind, a.Replica)
	var err error
	if a.Raised {
		err = m.kv.Set(m.key, record.Mark())
	} else {
		err = m.kv.Delete(m.key)
	}
	if err != nil {
		return err
	}
	m.from = append(m.from[:0], record.SpaceAlarms, byte(a.Kind))
	m.to = record.PrefixSuccessor(append(m.to[:0], m.from...))
	_, _, found, err := m.kv.First(m.from, m.to)
	if found {
		m.head.Alarms |= 1 << a.Kind
	} else {
		m.head.Alarms &^= 1 << a.Kind
	}
	return err
}

// identity gives the region its id, once, and its name. With the id come tenant and namespace `default`.
func (m *machine) identity(op *record.Op, r *record.Result) error {
	want := op.Identity
	known, found, err := readIdentity(m.kv)
	switch {
	case err != nil:
		return err
	case want.RegionID == [16]byte{}:
		refuse(r, record.StatusInvalid, "the region's id is all zero")
		return nil
	case found && known.RegionID != want.RegionID:
		refuse(r, record.StatusExists, "the region has the id %x", known.RegionID)
		return nil
	case found && known.Name == want.Name:
		return nil
	}
	m.row = record.AppendIdentity(m.row[:0], want)
	if err := m.kv.Set(record.IdentityKey(), m.row); err != nil || found {
		return err
	}
	return m.createTenant(op, &record.Tenancy{Tenant: DefaultName, UID: want.RegionID}, r)
}

func readIdentity(r Reader) (record.Identity, bool, error) {
	b, found, err := r.Get(record.IdentityKey())
	if err != nil || !found {
		return record.Identity{}, false, err
	}
	id, err := record.DecodeIdentity(b)
	return id, err == nil, err
}
