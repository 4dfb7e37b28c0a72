package drive

import (
	"context"
	"fmt"
	"time"

	"supercluster/chaos/history"
	"supercluster/internal/fault"
)

func (c *client) write(ctx context.Context, s Server, kind string, steps ...history.Step) {
	c.send(ctx, s, &history.Call{Kind: kind, Steps: steps})
}

// send sends a write, and again under its request id, to any server, when nobody knows how it ended.
func (c *client) send(ctx context.Context, s Server, call *history.Call) {
	c.count++
	w := &Write{Call: call, RequestID: fmt.Sprintf("%d-%d", c.number, c.count), Seen: c.seen}
	log, pace := c.site.run.Log, &c.site.run.tier.Pace
	id := log.Invoke(c.number, c.site.name, s.Name(), *call)
	var unknown error
	for deadline := time.Now().Add(pace.KnowIn); s != nil; s = c.server() {
		asking, cancel := context.WithTimeout(ctx, pace.Ask)
		refused, revision, err := s.Write(asking, w)
		cancel()
		if err == nil {
			c.seen = max(c.seen, revision)
			log.OK(id, s.Name(), history.Answer{Refused: refused, Revision: revision})
			return
		}
		if nothingDone(err) && unknown == nil {
			log.Fail(id, err)
			return
		}
		if unknown = err; time.Now().After(deadline) || !Pause(ctx, pace.AskAgain) {
			break
		}
	}
	log.Unknown(id, unknown)
}

// nothingDone says that a write surely did not happen: the promise of these kinds of error.
func nothingDone(err error) bool {
	switch fault.KindOf(err) {
	case fault.Unavailable, fault.Busy, fault.Deadline, fault.NotHome, fault.Invalid, fault.Exhausted, fault.Conflict, fault.NotFound:
		return true
	default:
		return false
	}
}

// readOne reads one key.
func (c *client) readOne(ctx context.Context, s Server, key string) (value string, ok bool) {
	c.read(ctx, s, &history.Call{Kind: history.CallGet, Steps: gets(key)}, func(ctx context.Context) (*Found, error) {
		var err error
		value, err = s.Get(ctx, key)
		ok = err == nil
		return &Found{Values: map[string]string{key: value}}, err
	})
	return value, ok
}

// readGroup reads the keys of a group at once.
func (c *client) readGroup(ctx context.Context, s Server, group string) {
	c.read(ctx, s, &history.Call{Kind: history.CallGet, Steps: gets(c.keys(group)...)}, func(ctx context.Context) (*Found, error) {
		values, err := s.List(ctx, group)
		return &Found{Values: values}, err
	})
}

// lookup reads what a region wrote as one server has it: the instances of a service, one entry or a group of them. All may be
// old and say how old. Where nothing is shown, nothing may carry an age.
func (c *client) lookup(ctx context.Context, s Server) {
	w := &c.site.run.Plan.Workload
	source := c.site.run.sites[c.random.IntN(len(c.site.run.sites))].name
	prefix := groupOf(source, c.random.IntN(w.Groups))
	keys := c.keys(prefix)
	switch c.random.IntN(3) {
	case 0:
		prefix, keys = instancesOf(source), nil
		for k := range w.Keys {
			keys = append(keys, instanceIn(prefix, k))
		}
	case 1:
		prefix = keys[c.random.IntN(w.Keys)]
		keys = []string{prefix}
	}
	c.read(ctx, s, &history.Call{Kind: history.CallLookup, Source: source, Steps: gets(keys...)}, func(ctx context.Context) (*Found, error) {
		return s.Lookup(ctx, source, prefix)
	})
}

// read asks a server once and writes down what it was asked and what it showed.
func (c *client) read(ctx context.Context, s Server, call *history.Call, ask func(context.Context) (*Found, error)) {
	log := c.site.run.Log
	id := log.Invoke(c.number, c.site.name, s.Name(), *call)
	asking, cancel := context.WithTimeout(ctx, c.site.run.tier.Pace.Ask)
	defer cancel()
	found, err := ask(asking)
	if err != nil {
		log.Fail(id, err)
		return
	}
	var a history.Answer
	for _, step := range call.Steps {
		a.Values = append(a.Values, found.Values[step.Key])
	}
	if call.Kind == history.CallLookup {
		a.Age, a.AgeUnknown = found.Age, found.Age == nil
	}
	log.OK(id, s.Name(), a)
}

func gets(keys ...string) (all []history.Step) {
	for _, k := range keys {
		all = append(all, history.Step{Do: history.DoGet, Key: k})
	}
	return all
}
