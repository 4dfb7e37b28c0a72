package federation

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"time"

	"supercluster/region/record"
	"supercluster/region/state"
)

func (s *site) fed() *Federation { return s.servers[0].fed }

func instance(name string) record.Key {
	return record.Key{Shard: record.ShardData, Tenant: 1, Namespace: 1, Kind: record.KindInstance, Scope: record.ScopeRegion, Name: name}
}

func placed(kind record.Kind, name string) record.Key {
	return record.Key{Shard: record.ShardData, Tenant: 1, Namespace: 1, Kind: kind, Name: name}
}

func config(name string) record.Key { return placed(record.KindConfig, name) }

func writing(ops ...record.TxnOp) record.Op {
	return record.Op{Type: record.OpTxn, Tenant: 1, Txn: &record.Txn{Shard: record.ShardData, Then: ops, Writer: record.Writer{Time: time.Now().UnixNano()}}}
}

func putOf(k record.Key, value string) record.TxnOp {
	return record.TxnOp{Type: record.TxnPut, Key: k, Value: []byte(value)}
}

func deletionOf(k record.Key) record.TxnOp { return record.TxnOp{Type: record.TxnDelete, Key: k} }

func (s *site) put(k record.Key, value string) {
	s.w.t.Helper()
	s.do(writing(putOf(k, value)))
}

func (s *site) delete(k record.Key) {
	s.w.t.Helper()
	s.do(writing(deletionOf(k)))
}

// alias is the number of another region here.
func (s *site) alias(o *site) uint32 {
	if o.id == s.id {
		return state.AliasSelf
	}
	alias, _, _, err := state.FindRegion(s.store.pin(), o.id)
	if err != nil {
		s.w.t.Fatal(err)
	}
	return alias
}

// of reads a record of another region as it is shown here.
func (s *site) of(o *site, k record.Key) (string, bool) {
	if k.Scope != record.ScopePlaced {
		k.Scope = s.alias(o)
	}
	rec, found, err := state.Get(s.store.pin(), k, 0)
	if err != nil {
		s.w.t.Fatal(err)
	}
	return string(rec.Value), found
}

func (s *site) has(o *site, k record.Key, want string) bool {
	got, found := s.of(o, k)
	return found && got == want
}

// shown lists all instances and placed records of a region that are shown here, by kind and name.
func (s *site) shown(o *site) map[string]string {
	all := map[string]string{}
	rows := s.store.pin()
	alias := s.alias(o)
	for _, rng := range []record.Range{
		{Kind: record.KindInstance, Scope: alias}, {Kind: record.KindConfig}, {Kind: record.KindService}, {Kind: record.KindRoute},
	} {
		rng.Shard, rng.Tenant, rng.Namespace = record.ShardData, 1, 1
		got, err := state.ReadRange(rows, rng, 0)
		if err != nil {
			s.w.t.Fatal(err)
		}
		for _, rec := range got.Records {
			mine := rec.Origin.Home == o.id || o.id == s.id && rec.Origin == (record.Origin{})
			if mine {
				all[fmt.Sprintf("%d/%s", rec.Key.Kind, rec.Key.Name)] = string(rec.Value)
			}
		}
	}
	return all
}

// behind says how a region's copy of another's channels differs from what that has now; empty: it does not.
func (s *site) behind(o *site) string {
	theirs, mine := o.store.pin(), s.store.pin()
	alias := s.alias(o)
	channels, err := state.Channels(theirs)
	if err != nil {
		s.w.t.Fatal(err)
	}
	if len(channels) < firstChannels {
		return fmt.Sprintf("%s has only %d channels", o.name, len(channels))
	}
	for i := range channels {
		if !channels[i].MayHave(s.id) {
			continue
		}
		id := channels[i].ID
		want, _, err := state.FeedStateOf(theirs, state.AliasSelf, id)
		got, _, err2 := state.FeedStateOf(mine, alias, id)
		if err != nil || err2 != nil {
			s.w.t.Fatal(err, err2)
		}
		if want.Walking || got.Walking || want.Position != got.Position || want.Digest != got.Digest || want.Records != got.Records {
			return fmt.Sprintf("%s has channel %d of %s at %d.%d (%d records, walking %v), which is at %d.%d (%d records, walking %v)", s.name, id, o.name,
				got.Position.Incarnation, got.Position.Sequence, got.Records, got.Walking, want.Position.Incarnation, want.Position.Sequence, want.Records, want.Walking)
		}
		sum, n, err := contentDigest(mine, alias, id)
		if err != nil || sum != got.Digest || n != got.Records {
			return fmt.Sprintf("%s: the records of channel %d of %s are not those of its digest (%v)", s.name, id, o.name, err)
		}
		if sum, n, err = contentDigest(theirs, state.AliasSelf, id); err != nil || sum != want.Digest || n != want.Records {
			return fmt.Sprintf("%s: the records of its channel %d are not those of its digest (%v)", o.name, id, err)
		}
	}
	return ""
}

// until waits for a condition; problem says what it is.
func (w *world) until(d time.Duration, what string, ok func() bool) time.Duration {
	w.t.Helper()
	began := time.Now()
	for !ok() {
		if time.Since(began) > d {
			w.t.Fatalf("not within %v: %s", d, what)
		}
		time.Sleep(10 * time.Millisecond)
	}
	return time.Since(began)
}

// converge waits until every region has all of every other, or of some.
func (w *world) converge(d time.Duration, some ...*site) time.Duration {
	w.t.Helper()
	if len(some) == 0 {
		some = w.regions
	}
	began := time.Now()
	for {
		problem := ""
		for _, a := range some {
			for _, b := range some {
				if a != b && problem == "" {
					problem = a.behind(b)
				}
			}
		}
		if problem == "" {
			break
		}
		if time.Since(began) > d {
			w.t.Fatalf("not equal within %v: %s", d, problem)
		}
		time.Sleep(50 * time.Millisecond)
	}
	took := time.Since(began)
	for _, a := range some {
		for _, b := range some {
			if want, got := b.shown(b), a.shown(b); a != b && a.id != b.id && !maps.Equal(want, got) {
				w.t.Fatalf("%s shows %d records of %s, not %d:\n%v\n%v", a.name, len(got), b.name, len(want), short(got), short(want))
			}
		}
	}
	return took
}

func short(m map[string]string) []string {
	keys := slices.Sorted(maps.Keys(m))
	return keys[:min(len(keys), 30)]
}

// linked waits until every link is up.
func (w *world) linked() {
	w.t.Helper()
	w.until(20*time.Second, "all links are up", func() bool {
		for _, s := range w.regions {
			for _, l := range s.fed().Links().GetLinks() {
				if l.GetState() != "up" {
					return false
				}
			}
		}
		return true
	})
}

// verify runs Verify at every region.
func (w *world) verify(some ...*site) {
	w.t.Helper()
	if len(some) == 0 {
		some = w.regions
	}
	for _, s := range some {
		v, err := s.fed().Verify(context.Background(), 5*time.Second)
		if err != nil || !v.GetEqual() || len(v.GetResults()) == 0 {
			w.t.Errorf("%s: verify: %v, %v", s.name, v, err)
		}
	}
}

// firstChannels is how many channels a region begins with: one of each class but summaries.
const firstChannels = int(record.ClassSummaries) - 1

// channels counts the channels that a region has.
func (s *site) channels() int {
	docs, err := state.Channels(s.store.pin())
	if err != nil {
		s.w.t.Fatal(err)
	}
	return len(docs)
}
