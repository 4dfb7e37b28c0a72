package drive

import (
	"context"
	"fmt"
	"math/rand/v2"
	"sync"
	"time"

	"supercluster/chaos/history"
)

// client is one client of a region.
type client struct {
	site   *Site
	number int
	random *rand.Rand
	count  int
	life   int
	seen   uint64 // the highest revision that it was answered in this life of its region
}

// clients runs those of all regions until ctx ends.
func (r *Run) clients(ctx context.Context) {
	var all sync.WaitGroup
	for i, s := range r.sites {
		for n := range r.Plan.Workload.Clients {
			c := &client{site: s, number: 100*(i+1) + n, random: rand.New(rand.NewPCG(r.Plan.Seed, uint64(100*i+n)))}
			all.Go(func() { c.run(ctx) })
		}
	}
	all.Wait()
}

func (c *client) run(ctx context.Context) {
	pace := &c.site.run.tier.Pace
	for ctx.Err() == nil {
		c.site.gate.RLock()
		if life := c.site.lifeNow(); life != c.life {
			c.life, c.seen = life, 0
		}
		if s := c.server(); s != nil {
			c.one(ctx, s)
		}
		c.site.gate.RUnlock()
		Pause(ctx, pace.RestLeast+time.Duration(c.random.Int64N(int64(pace.RestMost-pace.RestLeast)+1)))
	}
}

// server picks any that runs.
func (c *client) server() Server {
	all := c.site.Serving()
	if len(all) == 0 {
		return nil
	}
	return all[c.random.IntN(len(all))]
}

// one does what the mix says.
func (c *client) one(ctx context.Context, s Server) {
	w := &c.site.run.Plan.Workload
	group := groupOf(c.site.name, c.random.IntN(w.Groups))
	key := keyIn(group, c.random.IntN(w.Keys))
	switch kind := w.Pick(c.random.IntN(w.Sum())); kind {
	case history.CallPut:
		c.write(ctx, s, kind, c.put(key))
	case history.CallConfig:
		c.write(ctx, s, kind, c.put(levelOf(c.site.name)))
	case history.CallDelete:
		c.write(ctx, s, kind, history.Step{Do: history.DoDelete, Key: key})
	case history.CallService:
		step := c.put(instanceIn(instancesOf(c.site.name), c.random.IntN(w.Keys)))
		if c.random.IntN(4) == 0 {
			step = history.Step{Do: history.DoDelete, Key: step.Key}
		}
		c.write(ctx, s, kind, step)
	case history.CallCAS:
		c.swap(ctx, s, key)
	case history.CallTxn:
		var steps []history.Step
		for _, k := range c.keys(group) {
			steps = append(steps, c.put(k))
		}
		c.write(ctx, s, kind, steps...)
	case history.CallLookup:
		c.lookup(ctx, s)
	default:
		c.readGroup(ctx, s, group)
	}
}

func (c *client) keys(group string) (all []string) {
	for k := range c.site.run.Plan.Workload.Keys {
		all = append(all, keyIn(group, k))
	}
	return all
}

// put makes a step with a value that nobody else writes.
func (c *client) put(key string) history.Step {
	c.count++
	return history.Step{Do: history.DoPut, Key: key, Value: fmt.Sprintf("%d.%d", c.number, c.count)}
}

// swap reads a key and writes it if it still has that value then.
func (c *client) swap(ctx context.Context, s Server, key string) {
	old, ok := c.readOne(ctx, s, key)
	if !ok {
		return
	}
	if s = c.server(); s != nil {
		call := &history.Call{Kind: history.CallCAS, Compare: []history.Entry{{Key: key, Value: old}}, Steps: []history.Step{c.put(key)}}
		c.send(ctx, s, call)
	}
}
