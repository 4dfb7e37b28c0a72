package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	pb "supercluster/api/gen/supercluster/v1"
	"supercluster/chaos/drive"
	"supercluster/chaos/fleet"
	"supercluster/chaos/schedule"
)

const (
	equalIn  = 30 * time.Second
	fencedIn = time.Minute
)

// still lets no client of a region ask any more, and waits until its peers have all that it exported and its watches have
// seen it: what nobody else has would be lost, rightly, when the region goes back in time.
func (w *world) still(ctx context.Context, s *site) error {
	s.clients().Hold()
	drive.Pause(ctx, askFor) // what was given up may still be under way
	at, err := s.revision(ctx)
	if err != nil {
		return err
	}
	for _, other := range w.sites {
		if err := other.Equal(ctx, equalIn); err != nil {
			return err
		}
	}
	return s.clients().Shown(ctx, at)
}

// clients is the region as its clients see it.
func (s *site) clients() *drive.Site { return s.world.run.Site(s.Name) }

// healed waits until a region exports again, in a later incarnation, and everybody has everything. Then clients go on.
func (w *world) healed(ctx context.Context, s *site, before uint64) (string, error) {
	var f *pb.GetFederationResponse
	err := drive.Wait(ctx, fencedIn, "a new incarnation", func(ctx context.Context) (problem string) {
		f, problem = exports(ctx, s.API(), before)
		return problem
	})
	if err != nil {
		return "", err
	}
	for _, other := range w.sites {
		if err := other.Equal(ctx, equalIn); err != nil {
			return "", err
		}
	}
	at, err := s.revision(ctx)
	if err != nil {
		return "", err
	}
	s.clients().Healed(at)
	return fmt.Sprintf("incarnation %d, it was %d; %d records came back", f.GetIncarnation(), before, f.GetHealing().GetRestored()), nil
}

// exports asks how a region stands; the problem is that it does not export in a later incarnation.
func exports(ctx context.Context, api pb.FederationServiceClient, before uint64) (*pb.GetFederationResponse, string) {
	ctx, cancel := context.WithTimeout(ctx, askFor)
	defer cancel()
	f, err := api.GetFederation(ctx, &pb.GetFederationRequest{})
	switch {
	case err != nil:
		return f, err.Error()
	case f.GetFence() != pb.Fence_FENCE_NONE:
		return f, fmt.Sprintf("%s: %s", f.GetFence(), f.GetFenceReason())
	case f.GetIncarnation() <= before:
		return f, fmt.Sprintf("it is in incarnation %d", f.GetIncarnation())
	default:
		return f, ""
	}
}

func (s *site) incarnation(ctx context.Context) (uint64, error) {
	f, problem := exports(ctx, s.API(), 0)
	if problem != "" {
		return 0, errors.New(problem)
	}
	return f.GetIncarnation(), nil
}

// oldData puts all servers of a region back on copies of their data folders that are older than what its peers have of it:
// it must fence itself, bring back what it lost, and go on.
func (w *world) oldData(ctx context.Context, n *schedule.Nemesis) (string, error) {
	s := w.find(n.Targets[0])
	_, err := s.down(ctx, s.all(), 0, func() (string, error) { return "", s.copyFolders(".old") })
	if err != nil {
		return "the copy was not made", err
	}
	return w.back(ctx, s, n, func() error {
		for _, folder := range s.Folders {
			if err := errors.Join(os.RemoveAll(folder), os.Rename(folder+".old", folder), durable(folder)); err != nil {
				return err
			}
		}
		return nil
	})
}

func (s *site) copyFolders(suffix string) error {
	for _, folder := range s.Folders {
		if err := errors.Join(os.RemoveAll(folder+suffix), os.CopyFS(folder+suffix, os.DirFS(folder)), durable(folder+suffix)); err != nil {
			return err
		}
	}
	return nil
}

// durable has all that was written to the disk of a folder reach it. A copy is of a machine or a disk: a power loss later must not
// take from it what the copying left in memory, which no server could know.
func durable(folder string) error {
	f, err := os.Open(folder)
	if err != nil {
		return err
	}
	defer f.Close()
	return unix.Syncfs(int(f.Fd()))
}

// back lets clients write for a while, exchanges the past of a region while none of its servers runs, and waits until it
// has healed.
func (w *world) back(ctx context.Context, s *site, n *schedule.Nemesis, exchange func() error) (string, error) {
	drive.Pause(ctx, n.Duration.Duration())
	before, err := s.incarnation(ctx)
	if err != nil {
		return "", err
	}
	err = w.still(ctx, s)
	defer s.clients().Release()
	if err != nil {
		return "the region did not come to rest", err
	}
	evidence, err := s.down(ctx, s.all(), 0, func() (string, error) {
		s.clients().Reborn()
		return "its past was exchanged", exchange()
	})
	if err != nil {
		return evidence, err
	}
	more, err := w.healed(ctx, s, before)
	return evidence + "; " + more, err
}

// oldBackup restores a region, on all its servers, from a backup that is older than what its peers have of it.
func (w *world) oldBackup(ctx context.Context, n *schedule.Nemesis) (string, error) {
	s := w.find(n.Targets[0])
	folder := filepath.Join(w.fleet.Group.Dir, fmt.Sprintf("backup-%d", n.Start))
	if out, err := w.program(ctx, s, "backup", "create", "--out", folder, "--server", strings.Join(s.GRPC, ",")); err != nil {
		return out, err
	}
	files, err := filepath.Glob(filepath.Join(folder, "*.scbackup"))
	if err != nil || len(files) != 1 {
		return "", errors.Join(err, fmt.Errorf("%d backups were made", len(files)))
	}
	return w.back(ctx, s, n, func() error {
		for i, folder := range s.Folders {
			if err := os.Rename(folder, fmt.Sprintf("%s.lost-%d", folder, n.Start)); err != nil {
				return err
			}
			if out, err := w.program(ctx, s, "backup", "restore", files[0], "--config", s.Configs[i]); err != nil {
				return fmt.Errorf("%w: %s", err, out)
			}
		}
		return nil
	})
}

// program runs the program of an operator at a region.
func (w *world) program(ctx context.Context, s *site, args ...string) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, backFor)
	defer cancel()
	var out []byte
	err := w.wan.Inside(s.Name, func() (err error) {
		out, err = exec.CommandContext(ctx, w.programs.right, args...).CombinedOutput()
		return err
	})
	return string(out), err
}

// clone starts a second copy of a region with the same address, so that some of the world reach the one and some the other,
// and lets both be written to. One of them must stop exporting and
// say so; the operator then ends that one, and the region goes on with what the other has.
func (w *world) clone(ctx context.Context, n *schedule.Nemesis) (evidence string, err error) {
	s := w.find(n.Targets[0])
	before, err := s.incarnation(ctx)
	if err != nil {
		return "", err
	}
	err = w.still(ctx, s)
	defer s.clients().Release()
	if err != nil {
		return "the region did not come to rest", err
	}
	defer w.wan.Redirect("dc2", twinOf, twinSite, false)
	twin, err := w.twin(ctx, s)
	if err != nil {
		return "the second copy did not start", err
	}
	copies := []*site{s, {Region: twin, world: w}}
	stopped, why, err := w.twoLive(ctx, copies, before)
	if err != nil {
		return why, err
	}
	if err := errors.Join(s.Servers[0].Kill(), twin.Servers[0].Kill()); err != nil {
		return why, err
	}
	w.wan.Redirect("dc2", twinOf, twinSite, false)
	s.clients().Reborn()
	if stopped == 0 {
		if err := errors.Join(os.RemoveAll(s.Folders[0]), os.Rename(twin.Folders[0], s.Folders[0])); err != nil {
			return why, err
		}
	}
	if err := errors.Join(s.Restart(0), s.back(ctx)); err != nil {
		return why, err
	}
	more, err := w.healed(ctx, s, before)
	return fmt.Sprintf("%s stopped: %s; %s", []string{"the first copy", "the second copy"}[stopped], why, more), err
}

// twin starts the second copy, which dc2 reaches from now on.
func (w *world) twin(ctx context.Context, s *site) (*fleet.Region, error) {
	if _, err := s.down(ctx, s.all(), 0, func() (string, error) { return "", s.copyFolders(".twin") }); err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, backFor)
	defer cancel()
	w.wan.Redirect("dc2", twinOf, twinSite, true)
	return w.fleet.Twin(ctx, s.Region, twinSite, s.Folders[0]+".twin")
}

// twoLive writes to both copies until one has stopped and the other exports in a later incarnation. Then what is written
// to the one that stopped must come to nobody.
func (w *world) twoLive(ctx context.Context, copies []*site, before uint64) (stopped int, why string, err error) {
	writing, end := context.WithCancel(ctx)
	var scribbling sync.WaitGroup
	defer scribbling.Wait()
	defer end()
	for i, c := range copies {
		scribbling.Go(func() { c.scribble(writing, fmt.Sprint(i)) })
	}
	err = drive.Wait(ctx, fencedIn, "one of two copies to stop", func(ctx context.Context) string {
		var fences []pb.Fence
		var says []string
		for _, c := range copies {
			f, problem := exports(ctx, c.API(), before)
			fences, says = append(fences, f.GetFence()), append(says, problem)
		}
		stopped = slices.Index(fences, pb.Fence_FENCE_CLONE)
		if stopped < 0 || says[1-stopped] != "" {
			return strings.Join(says, " / ")
		}
		why = says[stopped]
		return ""
	})
	end()
	if err != nil {
		for _, s := range w.sites { // how peers see them, for who looks for the cause
			fmt.Println(s.Standing(ctx))
		}
		return stopped, why, err
	}
	return stopped, why, w.unheard(ctx, copies[stopped])
}

// scribble writes entries that no client writes, whatever comes of it.
func (s *site) scribble(ctx context.Context, which string) {
	for n := 0; ctx.Err() == nil; n++ {
		s.note(ctx, fmt.Sprintf("%s/copy/%d", s.Name, n%5), which)
		drive.Pause(ctx, 5*pollEvery)
	}
}

func (s *site) note(ctx context.Context, key, value string) {
	ctx, cancel := context.WithTimeout(ctx, askFor)
	defer cancel()
	_, _ = pb.NewConfigServiceClient(s.Conns[0]).PutConfig(ctx, &pb.PutConfigRequest{Config: &pb.Config{Name: key, Value: []byte(value)}})
}

// unheard writes to a copy that stopped, and demands that no other region shows it.
func (w *world) unheard(ctx context.Context, stopped *site) error {
	key := stopped.Name + "/copy/unheard"
	stopped.note(ctx, key, "x")
	drive.Pause(ctx, 2*time.Second)
	for _, s := range w.sites {
		if s.Name == stopped.Name {
			continue
		}
		for _, conn := range s.Conns {
			asking, cancel := context.WithTimeout(ctx, askFor)
			answer, err := pb.NewConfigServiceClient(conn).ListConfigs(asking, &pb.ListConfigsRequest{Prefix: key, Read: local})
			cancel()
			if err != nil || len(answer.GetConfigs()) > 0 {
				return errors.Join(err, fmt.Errorf("%s shows %d entries that were written to the copy that stopped", s.Name, len(answer.GetConfigs())))
			}
		}
	}
	return nil
}
