package state

import "supercluster/region/record"

// Alarm is a raised alarm.
type Alarm struct {
	Kind    record.AlarmKind
	Replica uint64
}

// Summary is what a region is, in numbers.
type Summary struct {
	AppliedIndex uint64
	Positions    record.Positions
	Compacted    record.Positions // reads before it are refused; the revision itself is readable
	Purged       record.Positions // what is before it is gone from disk
	Clock        record.Clock
	Alarms       []Alarm
	RegionID     [16]byte
	RegionName   string
	FeatureLevel uint32
	Keys         uint64 // live records
	Bytes        uint64 // of their rows
	HistoryBytes uint64 // of the rows of older versions and tombstones
}

// Summarize reads the summary.
func Summarize(r Reader) (Summary, error) {
	head, err := readHead(r)
	if err != nil {
		return Summary{}, err
	}
	id, _, err := readIdentity(r)
	if err != nil {
		return Summary{}, err
	}
	s := Summary{
		AppliedIndex: head.AppliedIndex, Positions: head.Positions, Compacted: head.Compacted, Purged: head.Purged,
		Clock: head.Clock, RegionID: id.RegionID, RegionName: id.Name, FeatureLevel: head.Level,
	}
	if err := s.addCounters(r); err != nil {
		return Summary{}, err
	}
	return s, s.addAlarms(r)
}

func (s *Summary) addCounters(r Reader) error {
	return scan(r, []byte{record.SpaceCounters}, []byte{record.SpaceCounters + 1}, func(key, value []byte) error {
		_, namespace, err := record.DecodeCountersKey(key)
		if err != nil || namespace != 0 {
			return err
		}
		n, err := record.DecodeCounters(value)
		s.Keys += n.Keys
		s.Bytes += n.Bytes
		s.HistoryBytes += n.History
		return err
	})
}

func (s *Summary) addAlarms(r Reader) error {
	return scan(r, []byte{record.SpaceAlarms}, []byte{record.SpaceAlarms + 1}, func(key, _ []byte) error {
		kind, replica, err := record.DecodeAlarmKey(key)
		s.Alarms = append(s.Alarms, Alarm{Kind: kind, Replica: replica})
		return err
	})
}

// Count reads the counters of a namespace, or of a tenant as a whole (namespace 0).
func Count(r Reader, tenant, namespace uint32) (record.Counters, bool, error) {
	b, found, err := r.Get(record.AppendCountersKey(nil, tenant, namespace))
	if err != nil || !found {
		return record.Counters{}, false, err
	}
	n, err := record.DecodeCounters(b)
	return n, err == nil, err
}

// scan calls fn with the rows in [from, to), in key order.
func scan(r Reader, from, to []byte, fn func(key, value []byte) error) error {
	it, err := r.Scan(from, to, false)
	if err != nil {
		return err
	}
	for it.Next() {
		if err := fn(it.Key(), it.Value()); err != nil {
			_ = it.Close() // the first error says more
			return err
		}
	}
	return it.Close()
}

// PositionsOf reads the revisions of the state.
func PositionsOf(r Reader) (record.Positions, error) {
	head, err := readHead(r)
	return head.Positions, err
}
