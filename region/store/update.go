package store

import (
	"bytes"
	"context"
	"errors"
	"time"

	"github.com/cockroachdb/pebble/v2"
	sm "github.com/lni/dragonboat/v4/statemachine"

	"supercluster/internal/fault"
	"supercluster/region/record"
)

// commitOverhead and eventOverhead are what a commit and an event in the ring cost beside the bytes of their entry.
const (
	commitOverhead = 150
	eventOverhead  = 300
)

// Update implements statemachine.IOnDiskStateMachine: it applies entries and commits them as one batch, without
// waiting for the disk, for the log has them until Sync. The new state is visible to readers and followers before it
// returns. An error ends the process: no entry is ever skipped.
func (s *Store) Update(entries []sm.Entry) ([]sm.Entry, error) {
	if s.live == nil {
		return nil, errClosed
	}
	if failure := s.failure.Load(); failure != nil {
		return nil, failure
	}
	start := time.Now()
	if err := s.update(entries); err != nil {
		return nil, s.fail(err)
	}
	s.metrics.applied(context.Background(), len(entries), time.Since(start))
	return entries, nil
}

func (s *Store) update(entries []sm.Entry) (err error) {
	base := &reader{rows: s.live}
	defer func() {
		if closeErr := base.close(); err == nil {
			err = closeErr
		}
	}()
	now := s.view.Load().Published
	s.overlay.begin(base, now.Positions, s.sequence)
	var b batch
	for i := range entries {
		if err := s.apply(&entries[i], &now, &b); err != nil {
			return err
		}
	}
	b.end = now.Positions
	return s.commit(now, b)
}

// apply applies one entry to the overlay and gathers what it committed.
func (s *Store) apply(e *sm.Entry, now *Published, b *batch) error {
	if e.Index <= now.Applied {
		return fault.New(fault.Corrupt, "the log gave entry %d again; entries up to %d are applied", e.Index, now.Applied).
			WithHint(replaceHint)
	}
	// The entry's values live on in the commits, and Dragonboat owns Cmd.
	entry, err := s.decoder.Decode(bytes.Clone(e.Cmd))
	if err != nil {
		return cannotApply(e.Index, err)
	}
	out, err := s.scratch.Apply(s.overlay, e.Index, entry)
	if err != nil {
		return cannotApply(e.Index, err)
	}
	e.Result = sm.Result{Value: uint64(len(out.Results))}
	if entry.Replica == 0 || entry.Replica == s.cfg.Replica { // nobody waits for it elsewhere
		e.Result.Data = record.AppendResults(nil, out.Results)
	}
	now.Applied = e.Index
	for i := range out.Commits {
		at := out.Commits[i].Position
		now.Positions = now.Positions.With(at.Shard, at.Revision)
	}
	b.add(out.Commits, len(e.Cmd))
	return nil
}

func cannotApply(index uint64, err error) error {
	cause, ok := fault.As(err)
	if !ok {
		return fault.Wrap(fault.Internal, err, "log entry %d can not be applied", index)
	}
	failed := fault.Wrap(cause.Kind, cause.Err, "log entry %d can not be applied: %s", index, cause.Message)
	failed.Hint = cause.Hint
	return failed
}

// add gathers the commits of one entry of some size.
func (b *batch) add(commits []record.Commit, size int) {
	if len(commits) == 0 {
		return
	}
	if b.commits == nil {
		b.commits = commits
	} else {
		b.commits = append(b.commits, commits...)
	}
	for i := range commits {
		b.events += len(commits[i].Events)
		b.bytes += int64(len(commits[i].Events)) * eventOverhead
	}
	b.bytes += int64(size) + int64(len(commits))*commitOverhead
}

// commit makes the overlay's writes durable in order with earlier ones, then visible: caches, readers, followers.
func (s *Store) commit(now Published, b batch) error {
	if splitsIndex {
		index, _, err := s.overlay.Get(record.HeadKey())
		if err = errors.Join(err, s.live.Set(record.HeadKey(), index, pebble.NoSync)); err != nil {
			return err
		}
	}
	writes := s.live.NewBatchWithSize(s.overlay.size())
	err := s.overlay.fill(writes)
	if err == nil {
		err = diskFault(writes.Commit(pebble.NoSync), "the state can not be written")
	}
	if closeErr := writes.Close(); err == nil {
		err = diskFault(closeErr, "the state can not be written")
	}
	if err != nil {
		return err
	}
	s.sequence++
	s.cache.sequence.Store(s.sequence)
	s.overlay.writeThrough(s.sequence)
	s.publish(newView(s.live, now, s.sequence, &s.fixed.shared))
	if len(b.commits) > 0 {
		s.ring.add(b)
	}
	return nil
}
