package state

import (
	"bytes"

	"supercluster/internal/fault"
	"supercluster/region/record"
)

// Commits reads the commits of a shard after a revision, at most limit (0 is all), from the transaction log and the
// versions. It fails with Compacted when the next commit may be gone; the error's Revision is one to go on after.
func Commits(r Reader, shard uint32, from uint64, limit int) ([]record.Commit, error) {
	head, err := readHead(r)
	if err != nil {
		return nil, err
	}
	if from >= head.Positions.Of(shard) {
		return nil, nil
	}
	if err := checkCompacted(&head, shard, from+1); err != nil {
		return nil, err
	}
	commits, err := readTransactions(r, shard, from+1, limit)
	if err != nil {
		return nil, err
	}
	g := gone{r: r}
	for i := range commits {
		if err := addValues(r, &commits[i], &g); err != nil {
			return nil, err
		}
	}
	return commits, nil
}

// readTransactions reads commits whose events have keys only.
func readTransactions(r Reader, shard uint32, from uint64, limit int) (commits []record.Commit, err error) {
	it, err := r.Scan(record.AppendTransactionKey(nil, shard, from), record.AppendTransactionKey(nil, shard+1, 0), false)
	if err != nil {
		return nil, err
	}
	for (limit <= 0 || len(commits) < limit) && it.Next() {
		_, revision, err := record.DecodeTransactionKey(it.Key())
		if err != nil {
			_ = it.Close() // the first error says more
			return nil, err
		}
		t, err := record.DecodeTransaction(it.Value())
		if err != nil {
			_ = it.Close() // the first error says more
			return nil, err
		}
		c := record.Commit{
			Position: record.Position{Shard: shard, Revision: revision},
			Writer:   t.Writer, Trace: t.Trace, RequestID: t.RequestID, Events: make([]record.Event, len(t.Changes)),
		}
		for i, change := range t.Changes {
			c.Events[i] = record.Event{Type: change.Type, Previous: change.Previous, Record: record.Record{
				Key: change.Key, ModifyRevision: revision, Deleted: change.Type == record.EventDelete,
			}}
			if change.Type == record.EventDelete && t.Home != ([16]byte{}) {
				c.Events[i].Record.Origin = record.Origin{Home: t.Home, HomeRevision: t.HomePosition.Revision}
			}
		}
		commits = append(commits, c)
	}
	return commits, it.Close()
}

// addValues reads what the puts of a commit wrote, and what more is known of deletions of other regions' records.
func addValues(r Reader, c *record.Commit, g *gone) error {
	var key []byte
	for i := range c.Events {
		e := &c.Events[i]
		if e.Type == record.EventDelete {
			if err := g.complete(e); err != nil {
				return err
			}
			continue
		}
		key = record.AppendVersionKey(key[:0], e.Record.Key, c.Position.Revision)
		row, found, err := r.Get(key)
		if err != nil {
			return err
		}
		if !found {
			return fault.New(fault.Corrupt, "revision %d of shard %d lacks the version of %q that it wrote",
				c.Position.Revision, c.Position.Shard, e.Record.Key.Name).
				WithHint(record.ReplaceHint)
		}
		if _, err := record.DecodeVersion(row, &e.Record); err != nil {
			return err
		}
		e.Record.Value = bytes.Clone(e.Record.Value)
	}
	return nil
}

// ActorOf gives who made a revision; empty when nobody is recorded, or the record is gone.
func ActorOf(r Reader, shard uint32, revision uint64) (string, error) {
	b, found, err := r.Get(record.AppendTransactionKey(nil, shard, revision))
	if err != nil || !found {
		return "", err
	}
	t, err := record.DecodeTransaction(b)
	return t.Writer.Actor, err
}
