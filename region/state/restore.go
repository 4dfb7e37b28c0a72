package state

import (
	"bytes"

	"supercluster/region/record"
)

// Restore makes the rows of a backup those with which a region begins again, in a new Raft log and under new replica ids.
type Restore struct {
	// AppliedIndex is that of the new log's first entry that counts.
	AppliedIndex uint64
	// Reason and At tell people why the region is fenced.
	Reason string
	At     int64
}

// Row gives the value that a row has after the restore; false: the row goes. What other regions may have of this one is
// newer than the backup, so a region that exchanges with others begins fenced: it heals from its peers, and exports nothing
// before it began a new incarnation. Alarms were raised by replicas that are gone, and the clock was claimed by a leader of
// the old log: the terms of the new one are lower.
func (s *Restore) Row(key, value []byte) ([]byte, bool, error) {
	switch {
	case bytes.Equal(key, record.HeadKey()):
		head, err := record.DecodeHead(value)
		head.AppliedIndex, head.Alarms = s.AppliedIndex, 0
		head.Clock = record.Clock{Now: head.Clock.Now}
		return record.AppendHead(nil, &head), true, err
	case bytes.Equal(key, record.FederationKey()):
		f, err := record.DecodeFederation(value)
		f.Fence, f.FencedAt, f.Reason = max(f.Fence, record.FenceHealing), s.At, s.Reason
		f.Seen = max(f.Seen, f.Incarnation)
		return record.AppendFederation(nil, &f), true, err
	default:
		return value, len(key) == 0 || key[0] != record.SpaceAlarms, nil
	}
}

// MaxReplica is the highest replica id that the state knows of: of who ever proposed, or raised an alarm.
func MaxReplica(r Reader) (uint64, error) {
	head, err := readHead(r)
	if err != nil {
		return 0, err
	}
	highest := uint64(0)
	for _, p := range head.Proposers {
		highest = max(highest, p.Replica)
	}
	s := Summary{}
	if err := s.addAlarms(r); err != nil {
		return 0, err
	}
	for _, a := range s.Alarms {
		highest = max(highest, a.Replica)
	}
	return highest, nil
}
