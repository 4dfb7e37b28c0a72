package main

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	pb "supercluster/api/gen/supercluster/v1"
	"supercluster/chaos/drive"
	"supercluster/internal/procs"
)

// maxTail bounds what is told of the end of one log.
const maxTail = 800

// gone says that not all servers of a region came back, and how their logs end.
type gone struct{ region, text string }

func (g *gone) Error() string { return g.text }

// excuses are the nemeses after which a server may rightly stay away as long as they have not ended well, and why.
var excuses = map[string]string{
	oldData: "the region was put back on old data", oldBackup: "the region was restored from a backup", clone: "a second copy of the region lives",
	diskFull: "its disk is full",
}

// bystanders are the nemeses that do nothing to servers and do not wait for them: their good end excuses from nothing.
var bystanders = map[string]bool{cutLink: true, cutOneWay: true, weather: true, slowWatch: true}

// excuse notes why servers of a region may rightly not come back, until pardon. Nemeses of this tier take turns.
func (w *world) excuse(target, why string) {
	region, _, _ := strings.Cut(target, "/")
	w.excused[region] = why
}

// pardon takes an excuse away: nothing of what was done to the region is left.
func (w *world) pardon(target string) {
	region, _, _ := strings.Cut(target, "/")
	delete(w.excused, region)
}

// effect says what came of a nemesis. A server that stays away although nothing is left that would explain it is a violation; any
// other failure says that the nemesis was not seen.
func (w *world) effect(ctx context.Context, evidence string, err error) drive.Effect {
	if err == nil && evidence == "" {
		err = errors.New("there is no evidence")
	}
	if err == nil {
		return drive.Effect{Seen: true, Evidence: evidence}
	}
	var away *gone
	if errors.As(err, &away) && ctx.Err() == nil {
		why := w.excused[away.region]
		if why == "" {
			return drive.Effect{Seen: true, Evidence: evidence, Stuck: away.text}
		}
		evidence += ": " + why
	}
	text := err.Error()
	return drive.Effect{Evidence: evidence + ": " + text[:min(len(text), maxText)]}
}

// back waits until all servers of a region answer and follow one leader.
func (s *site) back(ctx context.Context) error {
	waiting, cancel := context.WithTimeout(ctx, backFor)
	defer cancel()
	began := time.Now()
	err := procs.WaitUntil(waiting, "all servers of "+s.Name, func(ctx context.Context) bool {
		leaders := map[string]bool{}
		for n := range s.Conns {
			leader, err := s.follows(ctx, n)
			if err != nil || leader == "" {
				drive.Pause(ctx, pollEvery)
				return false
			}
			leaders[leader] = true
		}
		return len(leaders) == 1
	}, s.Servers...)
	if err == nil || ctx.Err() != nil {
		return err
	}
	return &gone{s.Name, fmt.Sprintf("after %v not all servers of %s answer and follow one leader%s", time.Since(began).Round(time.Millisecond), s.Name, s.standing(ctx))}
}

// follows asks a server for its leader.
func (s *site) follows(ctx context.Context, n int) (string, error) {
	asking, stop := context.WithTimeout(ctx, askFor)
	defer stop()
	status, err := pb.NewClusterServiceClient(s.Conns[n]).GetStatus(asking, &pb.GetStatusRequest{})
	return status.GetLeader(), err
}

// standing says of each server how it is; of one that does not answer, how its log ends.
func (s *site) standing(ctx context.Context) string {
	var b strings.Builder
	for n, p := range s.Servers {
		leader, err := s.follows(ctx, n)
		tail := p.Tail()
		tail = tail[max(0, len(tail)-maxTail):]
		switch {
		case p.Exited():
			fmt.Fprintf(&b, "; %s has ended (%v), its log ends: %s", s.Nodes[n], p.Cmd.ProcessState, tail)
		case err != nil:
			fmt.Fprintf(&b, "; %s does not answer (%v), its log ends: %s", s.Nodes[n], err, tail)
		default:
			fmt.Fprintf(&b, "; %s follows %q", s.Nodes[n], leader)
		}
	}
	return b.String()
}
