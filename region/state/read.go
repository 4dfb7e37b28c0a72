package state

import (
	"io"

	"supercluster/internal/fault"
	"supercluster/region/record"
)

var errWriting = fault.New(fault.Internal, "being written")

// Get reads one record as of a revision; 0 is the newest.
func Get(r Reader, k record.Key, revision uint64) (record.Record, bool, error) {
	return record.Record{}, false, errWriting
}

// ReadRange reads the records of a range as of a revision; 0 is the newest.
func ReadRange(r Reader, rng record.Range, revision uint64) (record.RangeResult, error) {
	return record.RangeResult{}, errWriting
}

// History reads the kept versions of a record, newest first, tombstones included; a limit of 0 reads all.
func History(r Reader, k record.Key, limit int) ([]record.Record, error) { return nil, errWriting }

// Commits reads the commits of a shard after a revision, at most limit, from the transaction log and the versions. From
// below the floor it fails with Compacted, whose Revision is the oldest to resume from.
func Commits(r Reader, shard uint32, from uint64, limit int) ([]record.Commit, error) {
	return nil, errWriting
}

// Load calls fn with every live record of the kinds, in key order.
func Load(r Reader, kinds []record.Kind, fn func(record.Record) error) error { return errWriting }

// Alarm is a raised alarm.
type Alarm struct {
	Kind    record.AlarmKind
	Replica uint64
}

// Clock is the state clock.
type Clock struct {
	Term     uint64 // of the leader that claimed it last
	Owner    uint64 // replica id of that leader
	Sequence uint64 // of the last tick
	Now      int64  // nanoseconds since the clock began
}

// Summary is what a region is, in numbers.
type Summary struct {
	AppliedIndex uint64
	Positions    record.Positions
	Compacted    record.Positions // reads before it are refused; the revision itself is readable
	Purged       record.Positions // what is before it is gone from disk
	Clock        Clock
	Alarms       []Alarm
	RegionID     [16]byte
	RegionName   string
	FeatureLevel uint32
	Keys         uint64 // live records
	Bytes        uint64 // of live records
	HistoryBytes uint64 // of older versions and tombstones
}

// Summarize reads the summary.
func Summarize(r Reader) (Summary, error) { return Summary{}, errWriting }

// Hash gives the hash of the logical state: equal on all replicas that applied the same entries.
func Hash(r Reader) ([32]byte, error) { return [32]byte{}, errWriting }

// WriteSnapshot writes all rows as a snapshot stream.
func WriteSnapshot(w io.Writer, r Reader) error { return errWriting }

// ReadSnapshot reads a snapshot stream and calls set for every row, in key order. After an error what was set is useless.
func ReadSnapshot(rd io.Reader, set func(key, value []byte) error) error { return errWriting }
