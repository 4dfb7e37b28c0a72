package main

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"time"

	pb "supercluster/api/gen/supercluster/v1"
	"supercluster/chaos/clock"
	"supercluster/chaos/damage"
	"supercluster/chaos/fleet"
	"supercluster/chaos/wan"
	"supercluster/internal/procs"
)

const (
	oldRegion = 2 // the region that is started from old data
	backFor   = 40 * time.Second
	leaveFull = 128 << 20
	skew      = time.Hour
)

// nemeses do one fault each, until it is over, and give the evidence that it took effect.
var nemeses = map[Kind]func(*run, context.Context, Fault) (string, error){
	Kill: (*run).kill, KillAll: (*run).killAll, Relay: (*run).relay, Pause: (*run).pause, Cut: (*run).cut, OneWay: (*run).oneWay,
	Weather: (*run).weather, Slow: (*run).slow, Stall: (*run).stall, Full: (*run).full, PowerLoss: (*run).powerLoss,
	Torn: (*run).torn, Clock: (*run).clock, OldData: (*run).oldData,
}

// node is the one that a fault means, in a region that may have fewer.
func (r *run) node(f Fault) (*fleet.Region, int) {
	region := r.fleet.Regions[f.Region]
	return region, f.Node % len(region.Servers)
}

// back waits until all nodes of a region answer and follow a leader.
func back(ctx context.Context, r *fleet.Region) error {
	ctx, cancel := context.WithTimeout(ctx, backFor)
	defer cancel()
	return procs.WaitUntil(ctx, "all nodes of "+r.Name, func(ctx context.Context) bool {
		for _, conn := range r.Conns {
			asking, stop := context.WithTimeout(ctx, tryFor)
			status, err := pb.NewClusterServiceClient(conn).GetStatus(asking, &pb.GetStatusRequest{})
			stop()
			if err != nil || status.GetLeader() == "" {
				sleep(ctx, backOff)
				return false
			}
		}
		return true
	}, r.Servers...)
}

// down ends one server, keeps it down, does something to what it left, and starts it again.
func (r *run) down(ctx context.Context, region *fleet.Region, node int, d time.Duration, meanwhile func() (string, error)) (string, error) {
	p := region.Servers[node]
	if err := p.Kill(); err != nil {
		return "", err
	}
	evidence := fmt.Sprintf("%s: %v", p.Name, p.Cmd.ProcessState)
	if meanwhile != nil {
		more, err := meanwhile()
		if err != nil {
			return "", err
		}
		evidence += "; " + more
	}
	sleep(ctx, d)
	if err := region.Restart(node); err != nil {
		return "", err
	}
	return evidence, back(ctx, region)
}

func (r *run) kill(ctx context.Context, f Fault) (string, error) {
	region, node := r.node(f)
	return r.down(ctx, region, node, f.For, nil)
}

func (r *run) killAll(ctx context.Context, f Fault) (string, error) {
	region := r.fleet.Regions[f.Region]
	evidence := ""
	for _, p := range region.Servers {
		if err := p.Kill(); err != nil {
			return "", err
		}
		evidence += fmt.Sprintf("%s: %v; ", p.Name, p.Cmd.ProcessState)
	}
	sleep(ctx, f.For)
	for i := range region.Servers {
		if err := region.Restart(i); err != nil {
			return "", err
		}
	}
	return evidence, back(ctx, region)
}

// relay cuts the line between two regions, so that the third brings their records, and kills that one.
func (r *run) relay(ctx context.Context, f Fault) (string, error) {
	third := r.fleet.Regions[3-f.Region-f.Other]
	before := r.dropped(f)
	r.change(f, func(l *wan.Line) { l.Cut = true })
	defer r.change(f, func(l *wan.Line) { l.Cut = false })
	sleep(ctx, f.For)
	evidence, err := r.down(ctx, third, f.Node%len(third.Servers), f.For, nil)
	if n := r.dropped(f) - before; n == 0 {
		return "", errors.Join(err, errors.New("the line was idle"))
	}
	return evidence, err
}

func (r *run) pause(ctx context.Context, f Fault) (string, error) {
	region, node := r.node(f)
	if err := region.Servers[node].Pause(); err != nil {
		return "", err
	}
	sleep(ctx, f.For)
	if err := region.Servers[node].Resume(); err != nil {
		return "", err
	}
	return region.Servers[node].Name + " was stopped", back(ctx, region)
}

func (r *run) change(f Fault, change func(*wan.Line)) {
	r.wan.Change(sites[f.Region], sites[f.Other], change)
}

func (r *run) dropped(f Fault) int64 {
	there, back := r.wan.Stats(sites[f.Region], sites[f.Other]), r.wan.Stats(sites[f.Other], sites[f.Region])
	return there.CutOff + back.CutOff + there.Lost + back.Lost
}

// network changes a line for a while; packets must have been dropped meanwhile.
func (r *run) network(ctx context.Context, f Fault, worse func()) (string, error) {
	before := r.dropped(f)
	worse()
	sleep(ctx, f.For)
	r.wan.Both(sites[f.Region], sites[f.Other], wan.Line{Delay: 10 * time.Millisecond})
	n := r.dropped(f) - before
	if n == 0 {
		return "", errors.New("no packet was dropped")
	}
	return fmt.Sprintf("%d packets were dropped", n), nil
}

func (r *run) cut(ctx context.Context, f Fault) (string, error) {
	return r.network(ctx, f, func() { r.change(f, func(l *wan.Line) { l.Cut = true }) })
}

func (r *run) oneWay(ctx context.Context, f Fault) (string, error) {
	return r.network(ctx, f, func() { r.wan.Shape(sites[f.Region], sites[f.Other], wan.Line{Cut: true}) })
}

func (r *run) weather(ctx context.Context, f Fault) (string, error) {
	return r.network(ctx, f, func() {
		r.change(f, func(l *wan.Line) { l.Delay, l.Loss, l.Reorder = 120*time.Millisecond, 0.08, 0.2 })
	})
}

// slow lets a watch read nothing for a while; it must go on afterwards, without a gap.
func (r *run) slow(ctx context.Context, f Fault) (string, error) {
	w := r.work.watchers[f.Region]
	seen := func() int { w.mu.Lock(); defer w.mu.Unlock(); return w.events }
	w.mu.Lock()
	w.slow = f.For
	w.mu.Unlock()
	sleep(ctx, f.For/2)
	before := seen()
	sleep(ctx, f.For/4)
	if n := seen() - before; n > 0 {
		return "", fmt.Errorf("%d events were read meanwhile", n)
	}
	for deadline := time.Now().Add(backFor); seen() == before && time.Now().Before(deadline); sleep(ctx, backOff) {
	}
	return fmt.Sprintf("%d events came afterwards", seen()-before), nil
}

func (r *run) stall(_ context.Context, f Fault) (string, error) { return r.disk.Stall(f.For) }

// full takes the room of a server: the region must refuse to grow, and go on when there is room again.
func (r *run) full(ctx context.Context, _ Fault) (string, error) {
	evidence, err := r.disk.Fill(leaveFull)
	if err != nil {
		return "", err
	}
	alarmed := func(want bool) error {
		waiting, cancel := context.WithTimeout(ctx, backFor)
		defer cancel()
		return procs.WaitUntil(waiting, fmt.Sprintf("alarm raised: %v", want), func(ctx context.Context) bool {
			status, err := pb.NewClusterServiceClient(r.fleet.Regions[diskRegion].Conns[0]).GetStatus(ctx, &pb.GetStatusRequest{})
			sleep(ctx, backOff)
			return err == nil && len(status.GetAlarms()) > 0 == want
		})
	}
	err = alarmed(true)
	if err := errors.Join(err, r.disk.Empty()); err != nil {
		return "", err
	}
	return evidence + "; the alarm was raised", alarmed(false)
}

// powerLoss cuts the power of a server's disk, with what the killed server left unsynced; chaos/power cuts it under the server.
func (r *run) powerLoss(ctx context.Context, f Fault) (string, error) {
	region := r.fleet.Regions[diskRegion]
	return r.down(ctx, region, 0, f.For, func() (string, error) {
		evidence, err := r.disk.PowerLoss()
		if err != nil {
			return "", err
		}
		return evidence, r.disk.Remount()
	})
}

func (r *run) torn(ctx context.Context, f Fault) (string, error) {
	region, node := r.node(f)
	return r.down(ctx, region, node, f.For, func() (string, error) {
		random := rand.New(rand.NewPCG(r.plan.Seed, uint64(f.For)))
		log, err := damage.Tear(region.Folders[node], damage.RaftLog, random)
		if err != nil {
			return "", err
		}
		_, err = damage.Tear(region.Folders[node], damage.StateWAL, random)
		return fmt.Sprintf("%s has a torn end at %d", filepath.Base(log.Path), log.At), err
	})
}

// clock starts a server whose clock is an hour off, ahead or behind, and after a while the right one again.
func (r *run) clock(ctx context.Context, f Fault) (string, error) {
	region, node := r.node(f)
	off := skew
	if f.For%2 == 0 {
		off = -skew
	}
	if err := region.Servers[node].Kill(); err != nil {
		return "", err
	}
	if err := region.RestartAs(node, r.wrong, clock.Setting(off)); err != nil {
		return "", err
	}
	if err := back(ctx, region); err != nil {
		return "", err
	}
	seen, err := r.clockOf(ctx, region, node)
	if err != nil {
		return "", err
	}
	if (seen - off).Abs() > time.Minute {
		return "", fmt.Errorf("the clock is off by %v, not %v", seen, off)
	}
	evidence, err := r.down(ctx, region, node, 0, nil)
	return fmt.Sprintf("the clock was off by %v; %s", seen.Round(time.Second), evidence), err
}

// clockOf is how far the clock of a node is ahead.
func (r *run) clockOf(ctx context.Context, region *fleet.Region, node int) (time.Duration, error) {
	ctx, cancel := context.WithTimeout(ctx, giveUp)
	defer cancel()
	client, name := pb.NewConfigServiceClient(region.Conns[node]), region.Name+"/clock"
	if _, err := client.PutConfig(ctx, &pb.PutConfigRequest{Config: &pb.Config{Name: name, Value: []byte("x")}}); err != nil {
		return 0, err
	}
	answer, err := client.GetConfig(ctx, &pb.GetConfigRequest{Name: name})
	return time.Until(answer.GetConfig().GetTime().AsTime()), err
}

// oldData starts a region from a copy of its data that is older than what its peers have of it: it must fence itself, bring
// back what it lost, and go on.
func (r *run) oldData(ctx context.Context, f Fault) (string, error) {
	region, a := r.fleet.Regions[oldRegion], r.work.authors[oldRegion]
	folder := region.Folders[0]
	old := folder + ".old"
	_, err := r.down(ctx, region, 0, 0, func() (string, error) {
		return "copied", errors.Join(os.RemoveAll(old), os.CopyFS(old, os.DirFS(folder)))
	})
	if err != nil {
		return "", err
	}
	sleep(ctx, f.For)
	a.held.Store(true) // what its peers do not have would be lost, rightly
	defer a.held.Store(false)
	sleep(ctx, 2*pace)
	for i, peer := range r.fleet.Regions {
		if err := peer.Equal(ctx, equalIn); i != oldRegion && err != nil {
			return "", err
		}
	}
	before, err := incarnation(ctx, region)
	if err != nil {
		return "", err
	}
	for i, w := range r.work.watchers {
		if i == oldRegion {
			w.forget()
		} else {
			w.expect(region.Name)
		}
	}
	_, err = r.down(ctx, region, 0, 0, func() (string, error) {
		return "exchanged", errors.Join(os.RemoveAll(folder), os.Rename(old, folder))
	})
	if err != nil {
		return "", err
	}
	r.work.watchers[oldRegion].forget()
	waiting, cancel := context.WithTimeout(ctx, backFor)
	defer cancel()
	now := before
	err = procs.WaitUntil(waiting, "a new incarnation", func(ctx context.Context) bool {
		now, err = incarnation(ctx, region)
		sleep(ctx, backOff)
		return err == nil && now > before
	}, region.Servers...)
	return fmt.Sprintf("incarnation %d, it was %d", now, before), err
}

func incarnation(ctx context.Context, r *fleet.Region) (uint64, error) {
	ctx, cancel := context.WithTimeout(ctx, tryFor)
	defer cancel()
	answer, err := r.API().GetFederation(ctx, &pb.GetFederationRequest{})
	if err == nil && answer.GetFence() != pb.Fence_FENCE_UNSPECIFIED && answer.GetFence() != pb.Fence_FENCE_NONE {
		err = errors.New("fenced")
	}
	return answer.GetIncarnation(), err
}
