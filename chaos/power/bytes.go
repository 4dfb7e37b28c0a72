package main

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"strings"
	"syscall"
	"time"

	pb "supercluster/api/gen/supercluster/v1"
	"supercluster/chaos/damage"
)

const (
	perRegion = 25 // changed bytes of one replica, before a new region begins
	tearEvery = 10 // every n-th time a write is cut short, too
	settleFor = 20 * time.Second
)

// instruction is what every text of a damaged replica has in common.
var instruction = []string{"keep this node stopped", "restore the file", "start the version that wrote it", "restore", "check the node's name"}

// bytes changes bytes of one replica of three, one at a time, while the others go on.
func (r *runner) bytes(ctx context.Context) error {
	outcomes := map[string]map[damage.Kind]int{}
	for done, round := 0, 0; done < r.flips; round++ {
		n, err := r.bytesOf(ctx, round, min(perRegion, r.flips-done), outcomes)
		if err != nil {
			return err
		}
		done += n
	}
	for outcome, kinds := range outcomes {
		fmt.Printf("     %s: %v\n", outcome, kinds)
	}
	return nil
}

// bytesOf is one region, whose node number round is the victim. It ends early when the victim can not come back.
func (r *runner) bytesOf(ctx context.Context, round, flips int, outcomes map[string]map[damage.Kind]int) (done int, err error) {
	g, err := r.start(ctx, 3, nil)
	if err != nil {
		return 0, err
	}
	defer g.close(r, r.Failed())
	v := &victim{runner: r, region: g, node: round % 3, random: rand.New(rand.NewPCG(r.seed, uint64(round)))}
	spoiled := false
	for done < flips && !spoiled {
		change, outcome, err := v.flip(ctx, done)
		if err != nil {
			return done, fmt.Errorf("byte %d of region %d: %w", done+1, round+1, err)
		}
		done++
		if outcomes[outcome] == nil {
			outcomes[outcome] = map[damage.Kind]int{}
		}
		outcomes[outcome][change.Kind]++
		spoiled = outcome == stoppedLater
	}
	for i := range g.conns {
		if spoiled && i == v.node {
			continue
		}
		problem, err := g.ledger.compare(ctx, g.conns[i], pb.Consistency_CONSISTENCY_LOCAL)
		r.Check(problem == "" && err == nil, "region %d: %s has every one of %d acknowledged writes after %d changed bytes on %s %s %s",
			round+1, g.Nodes[i], g.ledger.len(), done, g.Nodes[v.node], problem, because(err))
	}
	r.acked += g.ledger.len()
	return done, nil
}

// What became of a replica with a changed byte.
const (
	wentOn       = "went on, nothing wrong"
	stoppedFirst = "stopped at its start with an instruction"
	stoppedLater = "stopped later with an instruction"
)

// victim is the replica whose files change.
type victim struct {
	*runner
	*region
	node   int
	random *rand.Rand
}

func (v *victim) others() []int {
	return slices.DeleteFunc([]int{0, 1, 2}, func(i int) bool { return i == v.node })
}

// flip stops the victim, changes a byte, starts it, and sees what becomes of it while the others are written to.
func (v *victim) flip(ctx context.Context, n int) (c damage.Change, outcome string, err error) {
	v.writeFor(ctx, n, 200*time.Millisecond)
	if err := v.stop(n); err != nil {
		return c, "", err
	}
	folder, good := v.Folders[v.node], v.Folders[v.node]+".good"
	if err := errors.Join(os.RemoveAll(good), os.CopyFS(good, os.DirFS(folder))); err != nil {
		return c, "", err
	}
	if n%tearEvery == tearEvery-1 {
		if _, err := damage.Tear(folder, damage.RaftLog, v.random); err != nil {
			return c, "", err
		}
	}
	if c, err = damage.Flip(folder, v.random); err != nil {
		return c, "", err
	}
	if err := v.Restart(v.node); err != nil {
		return c, "", err
	}
	before := v.ledger.len()
	v.writeFor(ctx, n, 200*time.Millisecond, v.others()...)
	v.missed(v.ledger.len() > before, "byte %d (%s): the region does not go on", n+1, c.Evidence())
	outcome, err = v.outcome(ctx, c)
	if err == nil && outcome == stoppedFirst {
		outcome, err = promised(folder, good)
	}
	if err == nil && outcome == stoppedFirst {
		err = errors.Join(os.RemoveAll(folder), os.Rename(good, folder), v.Restart(v.node))
		if err == nil {
			outcome, err = v.again(ctx, c)
		}
	}
	return c, outcome, err
}

// promised tells a replica that stopped before it took part from one that wrote to its log first: to bring back what that
// one had before would make it forget what it promised.
func promised(folder, good string) (string, error) {
	now, err := damage.Size(folder, damage.RaftLog)
	then, errThen := damage.Size(good, damage.RaftLog)
	if now > then {
		return stoppedLater, nil
	}
	return stoppedFirst, errors.Join(err, errThen)
}

// again waits for the victim on the files of before the change. A byte that changed earlier and was not read then may stop it.
func (v *victim) again(ctx context.Context, c damage.Change) (string, error) {
	err := v.back(ctx, 0, 1, 2)
	if err == nil || !v.Servers[v.node].Exited() {
		return stoppedFirst, err
	}
	v.judgeEnd(c)
	return stoppedLater, nil
}

// judgeEnd looks at the last words of the victim.
func (v *victim) judgeEnd(c damage.Change) {
	text := v.Servers[v.node].Tail()
	told := slices.ContainsFunc(instruction, func(s string) bool { return strings.Contains(text, s) })
	v.missed(told && !strings.Contains(text, "goroutine "), "%s: the replica stopped without an instruction: %s", c.Evidence(), text)
}

// missed counts only failures: a line for each byte says nothing.
func (r *runner) missed(ok bool, format string, args ...any) {
	if !ok {
		r.Check(false, format, args...)
	}
}

// writeFor writes for a while, to some nodes or all.
func (v *victim) writeFor(ctx context.Context, n int, d time.Duration, nodes ...int) {
	conns := v.conns
	if len(nodes) > 0 {
		conns = nil
		for _, i := range nodes {
			conns = append(conns, v.conns[i])
		}
	}
	ctx, cancel := context.WithTimeout(ctx, d)
	defer cancel()
	v.ledger.write(ctx, 1000*v.node+2*n+len(nodes), conns)
}

// stop kills the victim, or lets it end in order every other time.
func (v *victim) stop(n int) error {
	p := v.Servers[v.node]
	if n%2 == 0 {
		return p.Kill()
	}
	if err := p.Cmd.Process.Signal(syscall.SIGTERM); err != nil {
		return err
	}
	select {
	case <-p.Ended():
		return nil
	case <-time.After(settleFor):
		return fmt.Errorf("%s did not stop", p.Name)
	}
}

// outcome waits until the victim has caught up and shows all, or has stopped.
func (v *victim) outcome(ctx context.Context, c damage.Change) (string, error) {
	p := v.Servers[v.node]
	ran := v.back(ctx, 0, 1, 2) == nil
	if ran {
		problem, err := v.ledger.compare(ctx, v.conns[v.node], pb.Consistency_CONSISTENCY_LOCAL)
		v.missed(problem == "", "%s: %s", c.Evidence(), problem)
		if err == nil {
			return wentOn, nil
		}
	}
	select {
	case <-p.Ended():
	case <-time.After(settleFor):
		v.missed(false, "%s: the replica neither serves nor stops: %s", c.Evidence(), p.Tail())
		return stoppedLater, nil
	}
	v.judgeEnd(c)
	if ran {
		return stoppedLater, nil
	}
	return stoppedFirst, nil
}
