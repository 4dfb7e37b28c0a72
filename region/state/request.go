package state

import "supercluster/region/record"

// forgetAtOnce bounds how many old request ids one new one makes forget: more than one, so that the table shrinks.
const forgetAtOnce = 4

// requestTable is the head of a tenant's request ids while an entry is applied.
type requestTable struct {
	tenant uint32
	head   record.RequestHead
	dirty  bool
}

func (m *machine) requestTable(tenant uint32) (*requestTable, error) {
	for i := range m.requests {
		if m.requests[i].tenant == tenant {
			return &m.requests[i], nil
		}
	}
	t := requestTable{tenant: tenant}
	m.key = record.AppendRequestHeadKey(m.key[:0], tenant)
	b, found, err := m.kv.Get(m.key)
	if err != nil {
		return nil, err
	}
	if found {
		if t.head, err = record.DecodeRequestHead(b); err != nil {
			return nil, err
		}
	}
	m.requests = append(m.requests, t)
	return &m.requests[len(m.requests)-1], nil
}

func (m *machine) flushRequests() error {
	for i := range m.requests {
		t := &m.requests[i]
		if !t.dirty {
			continue
		}
		m.key = record.AppendRequestHeadKey(m.key[:0], t.tenant)
		m.row = record.AppendRequestHead(m.row[:0], &t.head)
		if err := m.kv.Set(m.key, m.row); err != nil {
			return err
		}
	}
	return nil
}

func (m *machine) request(tenant uint32, id string) (record.Request, bool, error) {
	m.key = record.AppendRequestKey(m.key[:0], tenant, id)
	b, found, err := m.kv.Get(m.key)
	if err != nil || !found {
		return record.Request{}, false, err
	}
	r, err := record.DecodeRequest(b)
	return r, err == nil, err
}

// recallRequest answers, and reports true for, an operation whose request id ran before or may have run and been
// forgotten: a client that first sent it before the horizon cannot know, so it never runs again.
func (m *machine) recallRequest(op *record.Op, r *record.Result) (bool, error) {
	if len(op.RequestID) > record.MaxRequestID {
		refuse(r, record.StatusInvalid, "a request id has %d bytes; the limit is %d", len(op.RequestID), record.MaxRequestID)
		return true, nil
	}
	known, found, err := m.request(op.Tenant, op.RequestID)
	if err != nil {
		return false, err
	}
	if found {
		status, _, succeeded := record.SplitOutcome(known.Outcome)
		r.Status, r.Revision, r.Duplicate = status, known.Revision, true
		return true, m.completeDuplicate(op, r, succeeded)
	}
	t, err := m.requestTable(op.Tenant)
	if err != nil {
		return false, err
	}
	if op.Seen < t.head.Horizon {
		refuse(r, record.StatusIdempotencyExpired,
			"the request was first sent at revision %d; request ids are remembered since revision %d", op.Seen, t.head.Horizon)
		return true, nil
	}
	return false, nil
}

// rememberRequest keeps how an operation with a request id ended. Unseen is the first data revision that no client can
// have seen when it first sent the id.
func (m *machine) rememberRequest(op *record.Op, r *record.Result, outcome byte, unseen uint64) error {
	if op.RequestID == "" || r.Duplicate || len(op.RequestID) > record.MaxRequestID || mayRunAgain(r, outcome) {
		return nil
	}
	if t, err := m.tally(op.Tenant, 0); err != nil || !t.exists {
		return err
	}
	t, err := m.requestTable(op.Tenant)
	if err != nil {
		return err
	}
	m.key = record.AppendRequestKey(m.key[:0], op.Tenant, op.RequestID)
	m.row = record.AppendRequest(m.row[:0], &record.Request{Order: t.head.Next, Revision: r.Revision, Outcome: outcome})
	if err := m.kv.Set(m.key, m.row); err != nil {
		return err
	}
	m.key = record.AppendRequestAgeKey(m.key[:0], op.Tenant, t.head.Next)
	m.row = record.AppendRequestAge(m.row[:0], &record.RequestAge{
		Time: m.head.Clock.Now, Data: unseen, ID: op.RequestID,
	})
	if err := m.kv.Set(m.key, m.row); err != nil {
		return err
	}
	t.head.Next++
	t.head.Count++
	t.dirty = true
	return m.forgetRequests(t)
}

// mayRunAgain reports whether an operation changed nothing and is likely to end differently if it is sent again. Refusals
// for lack of room: a full region must not grow by refusing. What is too large with others in its entry: it may fit alone.
// A transaction whose comparisons failed: its sender makes it again from newer records, under the same request id.
func mayRunAgain(r *record.Result, outcome byte) bool {
	switch r.Status {
	case record.StatusNoSpace, record.StatusQuota, record.StatusTooLarge, record.StatusIdempotencyExpired:
		return true
	}
	status, moved, succeeded := record.SplitOutcome(outcome)
	return status == record.StatusOK && r.Txn != nil && !moved && !succeeded
}

// forgetRequests removes the oldest request ids while there are too many or they are too old. Age alone removes none that
// would raise the horizon beyond the newest data revision: nobody could send a new request then.
func (m *machine) forgetRequests(t *requestTable) error {
	for range forgetAtOnce {
		m.key = record.AppendRequestAgeKey(m.key[:0], t.tenant, t.head.Next-t.head.Count)
		b, found, err := m.kv.Get(m.key)
		if err != nil || !found {
			return err
		}
		age, err := record.DecodeRequestAge(b)
		if err != nil {
			return err
		}
		old := m.head.Clock.Now-age.Time >= m.limits.requestNanos && age.Data <= m.head.Positions.Data
		if t.head.Count <= m.limits.requests && !old {
			return nil
		}
		if err := m.kv.Delete(m.key); err != nil {
			return err
		}
		m.key = record.AppendRequestKey(m.key[:0], t.tenant, age.ID)
		if err := m.kv.Delete(m.key); err != nil {
			return err
		}
		t.head.Count--
		t.head.Horizon = max(t.head.Horizon, age.Data)
	}
	return nil
}
