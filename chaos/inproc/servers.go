package main

import (
	"context"
	"errors"
	"strings"
	"time"

	"supercluster/chaos/drive"
	"supercluster/chaos/history"
	"supercluster/region/record"
	"supercluster/region/state"
)

// server is a node in one of its lives, as clients see it.
type server struct {
	node *node
	life *life
}

// Serving gives the nodes that run.
func (s *site) Serving() (all []drive.Server) {
	for _, n := range s.nodes {
		if l := n.live(); l != nil {
			all = append(all, server{n, l})
		}
	}
	return all
}

// Name is that of the node.
func (s server) Name() string { return s.node.name }

// keyOf is the record of a key of a history in one region.
func (s *site) keyOf(key, owner string) record.Key {
	k := record.Key{Shard: record.ShardData, Tenant: tenant, Namespace: namespace, Kind: record.KindConfig, Name: drive.NameOf(key)}
	if strings.HasPrefix(key, drive.ServiceKey) {
		k.Kind, k.Scope = record.KindInstance, s.scopes[owner]
	}
	return k
}

// nameOf names a record in histories; "" when it is none of the clients'.
func nameOf(k record.Key) (key, channel string) {
	switch k.Kind {
	case record.KindConfig:
		return drive.ConfigKey + k.Name, "config"
	case record.KindInstance:
		return drive.ServiceKey + k.Name, "endpoints"
	default:
		return "", ""
	}
}

// operation is a write about records of the own region.
func (s *site) operation(w *drive.Write) record.Op {
	txn := &record.Txn{Shard: record.ShardData}
	for _, e := range w.Call.Compare {
		compare := record.Compare{Key: s.keyOf(e.Key, s.name), Target: record.CompareValue, Operator: record.CompareEqual, Value: []byte(e.Value)}
		if e.Value == "" {
			compare = record.Compare{Key: s.keyOf(e.Key, s.name), Target: record.CompareVersion, Operator: record.CompareEqual}
		}
		txn.Compare = append(txn.Compare, compare)
	}
	for _, step := range w.Call.Steps {
		op := record.TxnOp{Type: record.TxnDelete, Key: s.keyOf(step.Key, s.name)}
		if step.Do == history.DoPut {
			op.Type, op.Value = record.TxnPut, []byte(step.Value)
		}
		txn.Then = append(txn.Then, op)
	}
	return record.Op{Type: record.OpTxn, Tenant: tenant, RequestID: w.RequestID, Seen: w.Seen, Txn: txn}
}

// Write proposes a write.
func (s server) Write(ctx context.Context, w *drive.Write) (refused bool, revision uint64, err error) {
	result, err := s.life.region.Propose(ctx, s.node.site.operation(w))
	if err = s.life.heard(err); err != nil {
		return false, 0, err
	}
	return !result.Txn.Succeeded, result.Revision, nil
}

// Get reads one key.
func (s server) Get(ctx context.Context, key string) (string, error) {
	r, found, _, err := s.life.region.Get(ctx, s.node.site.keyOf(key, s.node.site.name), 0, record.LevelLinearizable)
	if err = s.life.heard(err); err != nil || !found {
		return "", err
	}
	return string(r.Value), nil
}

// List reads a group of keys.
func (s server) List(ctx context.Context, prefix string) (map[string]string, error) {
	values, _, err := s.list(ctx, s.node.site.name, prefix, record.LevelLinearizable)
	return values, err
}

func (s server) list(ctx context.Context, owner, prefix string, level record.Level) (map[string]string, record.Freshness, error) {
	from := s.node.site.keyOf(prefix, owner)
	result, fresh, err := s.life.region.Range(ctx, record.Range{
		Shard: from.Shard, Tenant: from.Tenant, Namespace: from.Namespace, Kind: from.Kind, Scope: from.Scope, From: from.Name, To: from.Name + "~",
	}, 0, level)
	values := map[string]string{}
	for i := range result.Records {
		key, _ := nameOf(result.Records[i].Key)
		values[key] = string(result.Records[i].Value)
	}
	return values, fresh, s.life.heard(err)
}

// Lookup reads of another region what was imported, of the own one what this node has.
func (s server) Lookup(ctx context.Context, source, prefix string) (*drive.Found, error) {
	level, f := record.LevelLocal, &drive.Found{}
	own := s.node.site.name == source
	if !own {
		level = record.LevelLinearizable
		age, known := s.life.federation.Age(s.node.site.world.find(source).identity.RegionID) // before the read, which then shows at least that
		if nanos := int64(age); known {
			f.Age = &nanos
		}
	}
	values, fresh, err := s.look(ctx, source, prefix, level)
	if f.Values = values; own {
		f.Age = &fresh.AgeNanos
	}
	return f, err
}

// look reads a group of keys, or one, by its own way.
func (s server) look(ctx context.Context, source, prefix string, level record.Level) (map[string]string, record.Freshness, error) {
	if strings.HasSuffix(prefix, "/") {
		return s.list(ctx, source, prefix, level)
	}
	r, found, fresh, err := s.life.region.Get(ctx, s.node.site.keyOf(prefix, source), 0, level)
	values := map[string]string{}
	if found {
		values[prefix] = string(r.Value)
	}
	return values, fresh, s.life.heard(err)
}

// Follow watches all records.
func (s server) Follow(ctx context.Context, from record.Positions, tell drive.Tell) {
	select {
	case <-s.life.region.Ready():
	default:
		return
	}
	if !tell(history.Watch{Event: history.WatchOpen, Revision: from.Data}, record.Positions{}) {
		return
	}
	_ = s.life.region.Follow(ctx, from, 50*time.Millisecond, func(commits []record.Commit, at record.Positions) error {
		if err := s.life.heard(nil); err != nil {
			return err
		}
		for i := range commits {
			c := &commits[i]
			changes := s.node.site.changes(c)
			if len(changes) > 0 && !tell(history.Watch{Event: history.WatchEvent, Revision: c.Position.Revision, Changes: changes}, record.Positions{}) {
				return errOver
			}
		}
		if !tell(history.Watch{Event: history.WatchProgress, Revision: at.Data}, at) {
			return errOver
		}
		return nil
	})
}

// errOver ends a watch that nobody wants any more.
var errOver = errors.New("the watch is over")

// changes gives what clients of the run changed in a commit.
func (s *site) changes(commit *record.Commit) (all []history.Change) {
	if commit.Position.Shard != record.ShardData {
		return nil
	}
	for i := range commit.Events {
		e := &commit.Events[i]
		key, channel := nameOf(e.Record.Key)
		if key == "" {
			continue
		}
		c := history.Change{Key: key, Channel: channel, Deleted: e.Type == record.EventDelete}
		if !c.Deleted {
			c.Value = string(e.Record.Value)
		}
		if maker := s.world.run.Maker(key); maker != s.name {
			c.Source = maker
		}
		all = append(all, c)
	}
	return all
}

// Newest is where this node is.
func (s server) Newest(context.Context) uint64 { return s.life.region.Freshness().Positions.Data }

// Now is where the region is.
func (s *site) Now(ctx context.Context) (record.Positions, error) {
	l, err := s.first()
	if err != nil {
		return record.Positions{}, err
	}
	return l.region.Linearize(ctx)
}

// first is the first node, which must run.
func (s *site) first() (*life, error) {
	l := s.nodes[0].live()
	if l == nil {
		return nil, errors.New(s.name + "/" + s.nodes[0].name + " does not run")
	}
	return l, nil
}

// State reads all, in one linearizable read each of configuration and services.
func (s *site) State(ctx context.Context) (*history.State, error) {
	l, err := s.first()
	if err != nil {
		return nil, err
	}
	at, err := l.region.Linearize(ctx)
	if err != nil {
		return nil, err
	}
	out := &history.State{Revision: at.Data}
	_, err = l.region.Load(ctx, func(r record.Record) error {
		if key, _ := nameOf(r.Key); key != "" {
			out.Entries = append(out.Entries, history.Entry{Key: key, Value: string(r.Value)})
		}
		return nil
	}, record.KindConfig, record.KindInstance)
	if err != nil {
		return nil, err
	}
	out.Fences, err = fences(l)
	return out, err
}

// fences is how often a region has fenced itself.
func fences(l *life) (uint64, error) {
	rows, release, err := l.region.Pin()
	if err != nil {
		return 0, err
	}
	defer release()
	f, _, err := state.ReadFederation(rows)
	return uint64(f.Fences), err
}
