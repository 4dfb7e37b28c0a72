package main

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"time"

	"supercluster/chaos/drive"
	"supercluster/chaos/schedule"
	"supercluster/region/wire"
)

// effect is what was seen of a nemesis.
type effect = drive.Effect

// Strike does one nemesis.
func (w *world) Strike(ctx context.Context, n *schedule.Nemesis) effect {
	switch n.Kind {
	case kill:
		s, node := w.target(n.Targets[0])
		return w.stopNodes(ctx, n, s, node)
	case restartAll:
		s := w.find(n.Targets[0])
		return w.stopNodes(ctx, n, s, s.nodes...)
	case powerLoss:
		return w.powerLost(ctx, n)
	case diskStall:
		return w.diskStalled(ctx, n)
	case diskFull:
		return w.diskFilled(ctx, n)
	case slowWatch:
		return w.slowWatches(ctx, n)
	case overrun:
		return w.slowWatches(ctx, n)
	case trim:
		return w.trimmed(ctx, n)
	case lateImport:
		return w.importedAgain(ctx, n)
	case stallImport:
		return w.importsStalled(ctx, n)
	case forge:
		return w.forged(ctx, n)
	case killRelay:
		return w.relayKilled(ctx, n)
	default:
		return w.disturb(ctx, n)
	}
}

func (w *world) target(name string) (*site, *node) {
	region, node, _ := strings.Cut(name, "/")
	s := w.find(region)
	for _, n := range s.nodes {
		if n.name == node {
			return s, n
		}
	}
	return s, s.nodes[0]
}

// disturb adds a rule to a network.
func (w *world) disturb(ctx context.Context, n *schedule.Nemesis) effect {
	net, r, what := w.rule(n)
	net.add(r)
	drive.Last(ctx, n, r.seen)
	net.remove(r)
	evidence := fmt.Sprintf("%d %s", r.hits.Load(), what)
	if refused := r.refused.Load(); refused > 0 {
		evidence += fmt.Sprintf(", %d connections refused", refused)
	}
	return effect{Seen: r.seen(), Evidence: evidence}
}

// rule says which network a nemesis disturbs, how, and what the rule counts.
func (w *world) rule(n *schedule.Nemesis) (*network, *rule, string) {
	a, b := n.Targets[0], n.Targets[len(n.Targets)-1]
	s, _ := w.target(a)
	late := time.Duration(n.Parameters["delay_ms"]) * time.Millisecond
	from := func(from, to string) bool { return from == a && to != a }
	to := func(from, to string) bool { return to == a && from != a }
	switch n.Kind {
	case isolate:
		return s.network, &rule{fault: drop, match: func(x, y string) bool { return from(x, y) || to(x, y) }}, "frames lost in both directions"
	case mute:
		return s.network, &rule{fault: drop, match: from}, "frames of the node lost"
	case deafen:
		return s.network, &rule{fault: drop, match: to}, "frames to the node lost"
	case delay:
		return s.network, &rule{fault: func(int64) wire.Fault { return wire.Fault{Delay: late} }, match: between(a, b, true)}, "frames delayed"
	case duplicate:
		percent := n.Parameters["percent"]
		return s.network, &rule{fault: func(i int64) wire.Fault { return wire.Fault{Duplicate: i*37%100 < percent} }, match: from}, "frames sent twice"
	case reorder:
		return s.network, &rule{fault: func(i int64) wire.Fault { return wire.Fault{Delay: late * time.Duration(i*3%4) / 4} }, match: from}, "frames of the node with unequal delays"
	case cutLink:
		return w.network, &rule{fault: drop, match: between(a, b, true)}, "datagrams lost in both directions"
	case cutOneWay:
		return w.network, &rule{fault: drop, match: between(a, b, false)}, "datagrams lost in one direction"
	default:
		return w.network, &rule{fault: func(int64) wire.Fault { return wire.Fault{Delay: late} }, match: from}, "datagrams delayed"
	}
}

// stopNodes ends nodes so that they can tell nobody, and starts them again.
func (w *world) stopNodes(ctx context.Context, n *schedule.Nemesis, s *site, nodes ...*node) effect {
	s.power.Lock() // one at a time switches nodes of a region off and on
	defer s.power.Unlock()
	leader := ledBy(nodes)
	gone := unheard(nodes)
	s.network.add(gone)
	began := time.Now()
	var all sync.WaitGroup
	for _, x := range nodes {
		all.Go(x.stop)
	}
	all.Wait()
	s.network.remove(gone)
	drive.Pause(ctx, time.Until(began.Add(n.Duration.Duration())))
	down := 0
	for _, x := range nodes {
		if x.live() == nil {
			down++
		}
	}
	away := time.Since(began).Round(time.Millisecond)
	stuck := restart(ctx, nodes)
	return effect{Seen: down == len(nodes), Stuck: stuck, Evidence: fmt.Sprintf("%d nodes were gone for %v%s, and were ready after %v",
		down, away, leader, time.Since(began).Round(time.Millisecond))}
}

// ledBy says whether one of the nodes leads.
func ledBy(nodes []*node) string {
	for _, x := range nodes {
		if l := x.live(); l != nil && l.region.Leader() == x.name {
			return ", the leader among them"
		}
	}
	return ""
}

// unheard is the rule that nobody hears nodes, and they hear nobody.
func unheard(nodes []*node) *rule {
	names := map[string]bool{}
	for _, x := range nodes {
		names[x.site.name+"/"+x.name] = true
	}
	return &rule{fault: drop, match: func(from, to string) bool { return names[from] || names[to] }}
}

func (w *world) slowWatches(ctx context.Context, n *schedule.Nemesis) effect {
	late := time.Duration(n.Parameters["pause_ms"]) * time.Millisecond
	behind := w.run.Site(n.Targets[0]).Slow(ctx, n, func() time.Duration { return late })
	return effect{Seen: behind > 0, Evidence: fmt.Sprintf("watches were up to %d revisions behind", behind)}
}

// relayKilled cuts two regions from each other, waits until the first gets the second's records over the third, and kills
// the third for the rest of the time.
func (w *world) relayKilled(ctx context.Context, n *schedule.Nemesis) effect {
	a, b := w.find(n.Targets[0]), w.find(n.Targets[1])
	var relay *site
	for _, s := range w.regions {
		if s != a && s != b {
			relay = s
		}
	}
	cut := &rule{fault: drop, match: between(a.name, b.name, true)}
	w.network.add(cut)
	defer w.network.remove(cut)
	began := time.Now()
	served := drive.Wait(ctx, n.Duration.Duration()*2/3, "a relay", func(context.Context) string {
		if age, known := a.age(b); time.Since(began) > time.Second && known && age < 500*time.Millisecond {
			return ""
		}
		return "no records"
	})
	what := fmt.Sprintf("%s served as relay after %v", relay.name, time.Since(began).Round(time.Millisecond))
	if served != nil {
		what = fmt.Sprintf("%s did not serve as relay yet", relay.name)
	}
	rest := max(n.Duration-schedule.Millis(time.Since(began).Milliseconds()), 300)
	e := w.stopNodes(ctx, &schedule.Nemesis{Duration: rest}, relay, relay.nodes...)
	e.Seen = e.Seen && cut.hits.Load() > 0
	e.Evidence = fmt.Sprintf("%d datagrams lost; %s; then %s", cut.hits.Load(), what, e.Evidence)
	return e
}
