package main

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"time"

	pb "supercluster/api/gen/supercluster/v1"
	"supercluster/chaos/clock"
	"supercluster/chaos/damage"
	"supercluster/chaos/drive"
	"supercluster/chaos/schedule"
)

// down kills some servers of a region, keeps them down, does something to what they left, and starts them again.
func (s *site) down(ctx context.Context, nodes []int, d time.Duration, meanwhile func() (string, error)) (evidence string, err error) {
	for _, n := range nodes {
		p := s.Servers[n]
		if err := p.Kill(); err != nil {
			return "", err
		}
		evidence += fmt.Sprintf("%s: %v; ", p.Name, p.Cmd.ProcessState)
	}
	drive.Pause(ctx, d)
	if meanwhile != nil {
		more, err := meanwhile()
		if evidence += more + "; "; err != nil {
			return evidence, err
		}
	}
	began := time.Now()
	for _, n := range nodes {
		if err := s.Restart(n); err != nil {
			return evidence, err
		}
	}
	err = s.back(ctx)
	return fmt.Sprintf("%sback after %v", evidence, time.Since(began).Round(time.Millisecond)), err
}

func (s *site) all() (nodes []int) {
	for n := range s.Servers {
		nodes = append(nodes, n)
	}
	return nodes
}

func (w *world) kill(ctx context.Context, n *schedule.Nemesis) (string, error) {
	s, node := w.node(n.Targets[0])
	return s.down(ctx, []int{node}, n.Duration.Duration(), nil)
}

func (w *world) killAll(ctx context.Context, n *schedule.Nemesis) (string, error) {
	s := w.find(n.Targets[0])
	return s.down(ctx, s.all(), n.Duration.Duration(), nil)
}

func (w *world) stop(ctx context.Context, n *schedule.Nemesis) (string, error) {
	s, node := w.node(n.Targets[0])
	if err := s.Servers[node].Pause(); err != nil {
		return "", err
	}
	drive.Pause(ctx, n.Duration.Duration())
	if err := s.Servers[node].Resume(); err != nil {
		return "", err
	}
	return s.Servers[node].Name + " was stopped, as the system says", s.back(ctx)
}

// tornWrite lets the logs of a killed server end as a write leaves them that the power cut short.
func (w *world) tornWrite(ctx context.Context, n *schedule.Nemesis) (string, error) {
	s, node := w.node(n.Targets[0])
	return s.down(ctx, []int{node}, n.Duration.Duration(), func() (string, error) {
		random := rand.New(rand.NewPCG(w.run.Plan.Seed, uint64(n.Start)))
		log, err := damage.Tear(s.Folders[node], damage.RaftLog, random)
		if err != nil {
			return "", err
		}
		_, err = damage.Tear(s.Folders[node], damage.StateWAL, random)
		return fmt.Sprintf("%s has a torn end at %d", filepath.Base(log.Path), log.At), err
	})
}

// wrongClock starts a server whose clock is an hour off, and after a while the right one again.
func (w *world) wrongClock(ctx context.Context, n *schedule.Nemesis) (string, error) {
	s, node := w.node(n.Targets[0])
	off := skew
	if n.Parameters["ahead"] == 0 {
		off = -skew
	}
	if err := s.Servers[node].Kill(); err != nil {
		return "", err
	}
	if err := s.RestartAs(node, w.programs.wrong, clock.Setting(off)); err != nil {
		return "", err
	}
	if err := s.back(ctx); err != nil {
		return "", err
	}
	seen, err := s.clockOf(ctx, node)
	if err == nil && (seen-off).Abs() > time.Minute {
		err = fmt.Errorf("the clock is off by %v, not %v", seen, off)
	}
	if err != nil {
		return "", err
	}
	drive.Pause(ctx, n.Duration.Duration())
	evidence, err := s.down(ctx, []int{node}, 0, nil)
	return fmt.Sprintf("the clock was off by %v; %s", seen.Round(time.Second), evidence), err
}

// clockOf is how far the clock of a server is ahead, by what it writes.
func (s *site) clockOf(ctx context.Context, node int) (off time.Duration, err error) {
	client, key := pb.NewConfigServiceClient(s.Conns[node]), s.Name+"/clock"
	err = drive.Wait(ctx, backFor, "a write on "+s.Nodes[node], func(ctx context.Context) string {
		asking, cancel := context.WithTimeout(ctx, askFor)
		defer cancel()
		if _, err := client.PutConfig(asking, &pb.PutConfigRequest{Config: &pb.Config{Name: key, Value: []byte("x")}}); err != nil {
			return err.Error()
		}
		answer, err := client.GetConfig(asking, &pb.GetConfigRequest{Name: key})
		if err != nil {
			return err.Error()
		}
		off = time.Until(answer.GetConfig().GetTime().AsTime())
		return ""
	})
	return off, err
}

// diskStall lets nothing be written to the disk of a server.
func (w *world) diskStall(ctx context.Context, n *schedule.Nemesis) (string, error) {
	w.excuse(n.Targets[0], "its disk stands still")
	evidence, err := w.disks[n.Targets[0]].Stall(n.Duration.Duration())
	if err != nil {
		return evidence, err
	}
	w.pardon(n.Targets[0])
	return evidence, w.find(n.Targets[0]).back(ctx)
}

// leaveFull is how many bytes of room a full disk has: fewer than a server wants.
const leaveFull = 128 << 20

// diskFull takes the room of a server: the region must refuse to grow, and go on when there is room again.
func (w *world) diskFull(ctx context.Context, n *schedule.Nemesis) (string, error) {
	d, s := w.disks[n.Targets[0]], w.find(n.Targets[0])
	evidence, err := d.Fill(leaveFull)
	if err != nil {
		return "", err
	}
	alarmed := func(want bool) error {
		return drive.Wait(ctx, backFor, fmt.Sprintf("an alarm of %s: %v", s.Name, want), func(ctx context.Context) string {
			asking, cancel := context.WithTimeout(ctx, askFor)
			defer cancel()
			status, err := pb.NewClusterServiceClient(s.Conns[0]).GetStatus(asking, &pb.GetStatusRequest{})
			if err != nil {
				return err.Error()
			}
			if len(status.GetAlarms()) > 0 != want {
				return fmt.Sprintf("it says %v", status.GetAlarms())
			}
			return ""
		})
	}
	if err = alarmed(true); err == nil {
		evidence += "; the alarm was raised"
		drive.Pause(ctx, n.Duration.Duration())
	}
	if err := errors.Join(err, d.Empty()); err != nil {
		return evidence, err
	}
	return evidence + ", and cleared", alarmed(false)
}

// powerLoss cuts the power of a server and its disk: the server stands still, as a machine without power does, before its
// disk loses what was not synced. A sync that is under way while a file system shuts down may end well, and nobody may hear
// of that. What was answered before was synced.
func (w *world) powerLoss(ctx context.Context, n *schedule.Nemesis) (string, error) {
	d := w.disks[n.Targets[0]]
	s, node := w.node(n.Targets[0])
	if err := s.Servers[node].Pause(); err != nil {
		return "", err
	}
	w.excuse(n.Targets[0], "its disk has no power")
	evidence, err := d.PowerLoss()
	if err != nil {
		return "", err
	}
	more, err := s.down(ctx, []int{node}, n.Duration.Duration(), func() (string, error) {
		if err := d.Remount(); err != nil {
			return "", err
		}
		w.pardon(n.Targets[0])
		return "its disk came back", nil
	})
	return evidence + "; " + more, err
}
