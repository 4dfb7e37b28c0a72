package health

import (
	"context"
	"io"
	"math/rand/v2"
	"slices"
	"time"

	pb "supercluster/api/gen/supercluster/v1"
	"supercluster/registry"
)

// alivePeriod is how often the loop looks whether the set of live nodes changed.
const alivePeriod = 200 * time.Millisecond

// maxGap is the longest pause of the loop after which results and expiries are still believed.
const maxGap = time.Second

// change is a new view and what it changed.
type change struct {
	view    *registry.View
	changes registry.Changes
}

// result is what became of a probe.
type result struct {
	job *job
	out outcome
}

// loop is everything that only the loop's goroutine touches.
type loop struct {
	*Runner
	ctx   context.Context
	nodes *nodeSet
	view  *registry.View
	// known are the services as they were last applied.
	known  map[registry.ServiceKey]*registry.ServiceView
	jobs   map[registry.CheckKey]*job
	agenda agenda
	flying int // probes
	links  int // cost of the connections kept between probes
	// applied tells that a first view was applied.
	applied bool
	// last is when the loop last came round, paused when a pause of more than maxGap ended, and gap how long the
	// pauses since the last turn of the wheel were.
	last, paused, gap time.Duration
	looked            time.Duration // when the live nodes were last asked for
}

func (r *Runner) newLoop(ctx context.Context) *loop {
	now := r.now()
	l := &loop{
		Runner: r, ctx: ctx, view: r.cfg.Views.View(), last: now, looked: now,
		known: map[registry.ServiceKey]*registry.ServiceView{}, jobs: map[registry.CheckKey]*job{},
	}
	l.nodes = newNodeSet(r.alive())
	r.nodes.Store(l.nodes)
	return l
}

// run comes round at least once each tick.
func (l *loop) run() error {
	ticker := time.NewTicker(tick)
	defer ticker.Stop()
	timer := time.NewTimer(time.Hour)
	defer timer.Stop()
	for {
		l.start(l.now())
		if wait, ok := l.wait(); ok {
			timer.Reset(wait)
		} else {
			timer.Stop()
		}
		select {
		case <-l.ctx.Done():
			l.stop()
			return nil
		case c := <-l.changes:
			l.notice(l.now())
			l.apply(c)
			l.adopted.happened()
		case res := <-l.results:
			l.notice(l.now())
			l.finish(res)
		case done := <-l.writer.written:
			l.wrote(done)
		case <-timer.C:
			l.notice(l.now())
		case <-ticker.C:
			now := l.now()
			l.notice(now)
			l.turn(now)
		}
	}
}

// notice measures how long the loop was away. Probes in flight over a pause may have missed their answers.
func (l *loop) notice(now time.Duration) {
	if gap := now - l.last; gap > maxGap {
		l.paused, l.gap = now, max(l.gap, gap)
		l.log.Warn("health: this process paused; failures seen over the pause do not count", "pause", gap)
	}
	l.last = now
}

// turn does what is done each tick: TTL checks, and whether nodes came or went.
func (l *loop) turn(now time.Duration) {
	changed, held := l.sessions.turn(now, l.gap)
	l.gap = 0
	l.writer.add(changed...)
	if held > 0 {
		l.metrics.held.Add(l.ctx, int64(held))
		l.log.Warn("health: TTL checks that expired together are held for one more TTL", "checks", held)
	}
	if now-l.looked < alivePeriod {
		return
	}
	l.looked = now
	if names := l.alive(); !slices.Equal(names, l.nodes.names) {
		l.log.Info("health: the live nodes of the region changed; checks move", "before", l.nodes.names, "now", names)
		l.nodes = newNodeSet(names)
		l.Runner.nodes.Store(l.nodes)
		l.keepCouriers(names)
		for _, sv := range l.known {
			l.update(sv, sv, atOnce)
		}
	}
}

// apply brings the jobs and sessions in line with a view.
func (l *loop) apply(c change) {
	l.view = c.view
	when := atOnce
	if !l.applied {
		l.applied, when = true, spread
	}
	if c.changes.All {
		gone := map[registry.ServiceKey]struct{}{}
		for k := range l.known {
			gone[k] = struct{}{}
		}
		for sv := range c.view.AllServices() {
			delete(gone, sv.Key)
			l.update(l.known[sv.Key], sv, when)
		}
		for k := range gone {
			l.update(l.known[k], nil, when)
		}
		return
	}
	for k := range c.changes.Services {
		sv, ok := c.view.Service(k)
		if !ok {
			sv = nil
		}
		l.update(l.known[k], sv, when)
	}
}

// start probes what is due, as far as probes in flight are free.
func (l *loop) start(now time.Duration) {
	for l.flying < l.cfg.MaxProbes {
		j, ok := l.agenda.next(now)
		if !ok {
			return
		}
		l.metrics.delay.Record(l.ctx, (now - j.due).Seconds())
		j.started, j.stale = now, false
		link := j.link
		if link != nil {
			j.link = nil
			l.links -= linkCost(j.to)
		}
		l.flying++
		to := j.to
		l.tasks.Go(func() {
			// There is room in results for every probe in flight, so this never waits.
			l.results <- result{job: j, out: l.probe(l.ctx, to, link)}
		})
	}
}

// wait tells how long the loop may sleep; false: until something happens.
func (l *loop) wait() (time.Duration, bool) {
	if len(l.agenda) == 0 || l.flying >= l.cfg.MaxProbes {
		return 0, false
	}
	return max(l.agenda[0].due-l.now(), 0), true
}

// finish takes the result of a probe.
func (l *loop) finish(res result) {
	l.flying--
	j, out := res.job, res.out
	l.keep(j, out.link)
	if j.dropped {
		return
	}
	now := l.now()
	l.agenda.add(j, j.after(now, rand.Float64()))
	failing := out.health == pb.Health_HEALTH_CRITICAL
	if l.ctx.Err() != nil || j.stale || (failing && j.started < l.paused) {
		if j.stale {
			l.agenda.move(j, now)
		}
		return
	}
	l.metrics.probed(l.ctx, j.to.kind, out.health)
	next, changed := j.state.ObserveHealth(time.Now(), out.health, out.output, j.to.policy)
	j.state = next
	// Another node may have taken the check for its own for a moment and written last.
	lost := j.written != next.Health && l.view.At().Data >= j.wrote && !l.writer.has(j.key)
	if changed || lost {
		l.writer.add(transition{key: j.key, state: next})
	}
}

// wrote takes note of what the writer has written.
func (l *loop) wrote(done []written) {
	for _, w := range done {
		if j, ok := l.jobs[w.key]; ok {
			j.wrote = w.revision
		}
	}
}

// keep keeps a connection for the next probe, as long as there are not too many.
func (l *loop) keep(j *job, link io.Closer) {
	if link == nil {
		return
	}
	if j.dropped || j.stale || l.links+linkCost(j.to) > maxLinks || j.to.every > maxLinkAge || l.ctx.Err() != nil {
		_ = link.Close()
		return
	}
	j.link = link
	l.links += linkCost(j.to)
}

func (l *loop) unlink(j *job) {
	if j.link != nil {
		_ = j.link.Close()
		j.link = nil
		l.links -= linkCost(j.to)
	}
}

// linkCost is what keeping a connection counts for: that of a gRPC client has goroutines and buffers of its own.
func linkCost(t target) int {
	if t.kind == pb.CheckType_CHECK_TYPE_GRPC {
		return 8
	}
	return 1
}

// stop waits for the probes in flight, which end with the context, and closes what was kept.
func (l *loop) stop() {
	for ; l.flying > 0; l.flying-- {
		if res := <-l.results; res.out.link != nil {
			_ = res.out.link.Close()
		}
	}
	for _, j := range l.jobs {
		l.unlink(j)
	}
}
