package main

import (
	"context"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"time"

	"supercluster/chaos/history"
	"supercluster/internal/fault"
	"supercluster/region/record"
)

// askFor is how long a client waits for an answer.
const askFor = 400 * time.Millisecond

// Names of keys in histories begin with the kind of record, so that a key is one record.
const (
	configKey  = "config:"
	serviceKey = "service:"
)

// client is one client of a region.
type client struct {
	world  *world
	site   *site
	number int
	random *rand.Rand
	count  int
	seen   uint64 // the highest revision that it was answered
}

// clients runs those of all regions until ctx ends. Each writes no faster than the checkers can judge.
func (w *world) clients(ctx context.Context) {
	var all sync.WaitGroup
	for i, s := range w.regions {
		for n := range w.plan.Workload.Clients {
			c := &client{world: w, site: s, number: 100*(i+1) + n, random: rand.New(rand.NewPCG(w.plan.Seed, uint64(100*i+n)))}
			all.Go(func() { c.run(ctx) })
		}
	}
	all.Wait()
}

func (c *client) run(ctx context.Context) {
	for ctx.Err() == nil {
		c.one(ctx)
		select {
		case <-ctx.Done():
		case <-time.After(time.Duration(2+c.random.IntN(8)) * time.Millisecond):
		}
	}
}

// one does what the mix says.
func (c *client) one(ctx context.Context) {
	w := &c.world.plan.Workload
	group := fmt.Sprintf("%s%s/g%d/", configKey, c.site.name, c.random.IntN(w.Groups))
	key := fmt.Sprintf("%sk%d", group, c.random.IntN(w.Keys))
	switch kind := w.Pick(c.random.IntN(w.Sum())); kind {
	case history.CallPut:
		c.write(ctx, history.Call{Kind: kind, Steps: []history.Step{c.put(key)}})
	case history.CallConfig:
		c.write(ctx, history.Call{Kind: kind, Steps: []history.Step{c.put(configKey + c.site.name + "/app/level")}})
	case history.CallDelete:
		c.write(ctx, history.Call{Kind: kind, Steps: []history.Step{{Do: history.DoDelete, Key: key}}})
	case history.CallService:
		key = fmt.Sprintf("%s%s-web/i%d", serviceKey, c.site.name, c.random.IntN(w.Keys))
		step := c.put(key)
		if c.random.IntN(4) == 0 {
			step = history.Step{Do: history.DoDelete, Key: key}
		}
		c.write(ctx, history.Call{Kind: kind, Steps: []history.Step{step}})
	case history.CallCAS:
		if old, ok := c.readOne(ctx, key); ok {
			c.write(ctx, history.Call{Kind: kind, Compare: []history.Entry{{Key: key, Value: old}}, Steps: []history.Step{c.put(key)}})
		}
	case history.CallTxn:
		call := history.Call{Kind: kind}
		for k := range w.Keys {
			call.Steps = append(call.Steps, c.put(fmt.Sprintf("%sk%d", group, k)))
		}
		c.write(ctx, call)
	case history.CallLookup:
		c.lookup(ctx)
	default:
		c.readGroup(ctx, group)
	}
}

// put makes a step with a value that nobody else writes.
func (c *client) put(key string) history.Step {
	c.count++
	return history.Step{Do: history.DoPut, Key: key, Value: fmt.Sprintf("%d.%d", c.number, c.count)}
}

// node picks one that runs.
func (c *client) node() (*node, *life) {
	for _, i := range c.random.Perm(len(c.site.nodes)) {
		if l := c.site.nodes[i].live(); l != nil {
			return c.site.nodes[i], l
		}
	}
	return nil, nil
}

// recordKey is the record of a key of a history in the own region.
func recordKey(key string) record.Key {
	kind, name, _ := strings.Cut(key, ":")
	k := record.Key{Shard: record.ShardData, Tenant: tenant, Namespace: namespace, Kind: record.KindConfig, Name: name}
	if kind+":" == serviceKey {
		k.Kind, k.Scope = record.KindInstance, record.ScopeRegion
	}
	return k
}

func operation(call *history.Call, id string, seen uint64) record.Op {
	txn := &record.Txn{Shard: record.ShardData}
	for _, e := range call.Compare {
		compare := record.Compare{Key: recordKey(e.Key), Target: record.CompareValue, Operator: record.CompareEqual, Value: []byte(e.Value)}
		if e.Value == "" {
			compare = record.Compare{Key: recordKey(e.Key), Target: record.CompareVersion, Operator: record.CompareEqual}
		}
		txn.Compare = append(txn.Compare, compare)
	}
	for _, s := range call.Steps {
		op := record.TxnOp{Type: record.TxnDelete, Key: recordKey(s.Key)}
		if s.Do == history.DoPut {
			op.Type, op.Value = record.TxnPut, []byte(s.Value)
		}
		txn.Then = append(txn.Then, op)
	}
	return record.Op{Type: record.OpTxn, Tenant: tenant, RequestID: id, Seen: seen, Txn: txn}
}

// write sends a write, and once more under its request id, to any node, when nobody knows how it ended.
func (c *client) write(ctx context.Context, call history.Call) {
	n, l := c.node()
	if l == nil {
		return
	}
	c.count++
	op := operation(&call, fmt.Sprintf("%d-%d", c.number, c.count), c.seen)
	id := c.world.log.Invoke(c.number, c.site.name, n.name, call)
	var unknown error
	for range 3 {
		asking, cancel := context.WithTimeout(ctx, askFor)
		result, err := l.region.Propose(asking, op)
		cancel()
		if err = l.heard(err); err == nil {
			c.seen = max(c.seen, result.Revision)
			a := history.Answer{Refused: !result.Txn.Succeeded, Revision: result.Revision}
			c.world.log.OK(id, n.name, a)
			return
		}
		if nothingDone(err) && unknown == nil {
			c.world.log.Fail(id, err)
			return
		}
		if unknown = err; ctx.Err() != nil {
			break
		}
		if n, l = c.node(); l == nil {
			break
		}
	}
	c.world.log.Unknown(id, unknown)
}

// nothingDone says that a write surely did not happen: the promise of these kinds of error.
func nothingDone(err error) bool {
	switch fault.KindOf(err) {
	case fault.Unavailable, fault.Busy, fault.Deadline, fault.NotHome, fault.Invalid, fault.Exhausted, fault.Conflict:
		return true
	default:
		return false
	}
}

// readOne reads one key.
func (c *client) readOne(ctx context.Context, key string) (string, bool) {
	n, l := c.node()
	if l == nil {
		return "", false
	}
	id := c.world.log.Invoke(c.number, c.site.name, n.name, history.Call{Kind: history.CallGet, Steps: []history.Step{{Do: history.DoGet, Key: key}}})
	asking, cancel := context.WithTimeout(ctx, askFor)
	defer cancel()
	r, found, _, err := l.region.Get(asking, recordKey(key), 0, record.LevelLinearizable)
	if err = l.heard(err); err != nil {
		c.world.log.Fail(id, err)
		return "", false
	}
	value := ""
	if found {
		value = string(r.Value)
	}
	c.world.log.OK(id, n.name, history.Answer{Values: []string{value}})
	return value, true
}

// readGroup reads the keys of a group at once.
func (c *client) readGroup(ctx context.Context, group string) {
	n, l := c.node()
	if l == nil {
		return
	}
	call := history.Call{Kind: history.CallGet}
	for k := range c.world.plan.Workload.Keys {
		call.Steps = append(call.Steps, history.Step{Do: history.DoGet, Key: fmt.Sprintf("%sk%d", group, k)})
	}
	id := c.world.log.Invoke(c.number, c.site.name, n.name, call)
	asking, cancel := context.WithTimeout(ctx, askFor)
	defer cancel()
	prefix := recordKey(group)
	result, _, err := l.region.Range(asking, record.Range{
		Shard: prefix.Shard, Tenant: prefix.Tenant, Namespace: prefix.Namespace, Kind: prefix.Kind, From: prefix.Name, To: prefix.Name + "~",
	}, 0, record.LevelLinearizable)
	if err = l.heard(err); err != nil {
		c.world.log.Fail(id, err)
		return
	}
	have := map[string]string{}
	for _, r := range result.Records {
		have[configKey+r.Key.Name] = string(r.Value)
	}
	a := history.Answer{}
	for _, s := range call.Steps {
		a.Values = append(a.Values, have[s.Key])
	}
	c.world.log.OK(id, n.name, a)
}

// lookup reads what a region wrote, here: of another region what was imported, of the own one what this node has. Both may
// be old and say how old.
func (c *client) lookup(ctx context.Context) {
	w := c.world
	source := w.regions[c.random.IntN(len(w.regions))]
	key := fmt.Sprintf("%s%s/g%d/k%d", configKey, source.name, c.random.IntN(w.plan.Workload.Groups), c.random.IntN(w.plan.Workload.Keys))
	n, l := c.node()
	if l == nil {
		return
	}
	id := w.log.Invoke(c.number, c.site.name, n.name, history.Call{
		Kind: history.CallLookup, Source: source.name, Steps: []history.Step{{Do: history.DoGet, Key: key}},
	})
	asking, cancel := context.WithTimeout(ctx, askFor)
	defer cancel()
	level, a := record.LevelLocal, history.Answer{}
	if source != c.site {
		level = record.LevelLinearizable
		age, known := l.federation.Age(source.identity.RegionID) // before the read, which then shows at least that
		if nanos := int64(age); known {
			a.Age = &nanos
		} else {
			a.AgeUnknown = true
		}
	}
	r, found, fresh, err := l.region.Get(asking, recordKey(key), 0, level)
	if err = l.heard(err); err != nil {
		w.log.Fail(id, err)
		return
	}
	if a.Values = []string{""}; found {
		a.Values[0] = string(r.Value)
	}
	if source == c.site {
		a.Age = &fresh.AgeNanos
	}
	w.log.OK(id, n.name, a)
}
