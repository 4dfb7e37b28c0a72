package procs

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

// Group is processes that end together.
type Group struct {
	Dir   string // temporary, removed by Close
	procs []*Process
	held  bool
}

// Process is one running server.
type Process struct {
	Name string
	Cmd  *exec.Cmd
	Log  string
	done chan struct{}
}

// NewGroup makes a group with a temporary folder.
func NewGroup() (*Group, error) {
	dir, err := os.MkdirTemp("", "supercluster-bench-")
	if err != nil {
		return nil, err
	}
	return &Group{Dir: dir}, nil
}

// OneProcessor holds each process that starts from here on to one of the processors that this one may use, in turn. So many
// servers on few processors disturb each other less like threads of one machine and more like machines with a processor each.
func (g *Group) OneProcessor() { g.held = true }

// Start runs a program; its output goes to a log file in the group's folder.
func (g *Group) Start(name string, args ...string) (*Process, error) {
	path := filepath.Join(g.Dir, fmt.Sprintf("%s-%d.log", name, len(g.procs)))
	log, err := os.Create(path)
	if err != nil {
		return nil, err
	}
	defer log.Close()
	cmd := exec.Command(args[0], args[1:]...)
	cmd.Stdout, cmd.Stderr = log, log
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	cmd.Dir = g.Dir
	start := cmd.Start
	if g.held {
		start = func() error { return onProcessor(len(g.procs), cmd.Start) }
	}
	if err := start(); err != nil {
		return nil, err
	}
	p := &Process{Name: name, Cmd: cmd, Log: path, done: make(chan struct{})}
	go func() {
		defer close(p.done)
		_ = cmd.Wait()
	}()
	g.procs = append(g.procs, p)
	return p, nil
}

// Stop ends a process, gently first.
func (p *Process) Stop() {
	_ = p.Cmd.Process.Signal(syscall.SIGTERM)
	select {
	case <-p.done:
	case <-time.After(10 * time.Second):
		_ = p.Kill()
	}
}

// Kill ends a process as a crash does, and waits until the system has taken back what it had open.
func (p *Process) Kill() error {
	if err := p.Cmd.Process.Kill(); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return err
	}
	<-p.done
	return nil
}

// Pause stops a process until Resume; the evidence is the state that the system shows.
func (p *Process) Pause() error {
	if err := p.Cmd.Process.Signal(syscall.SIGSTOP); err != nil {
		return err
	}
	for deadline := time.Now().Add(time.Second); time.Now().Before(deadline); time.Sleep(time.Millisecond) {
		if fields := p.stat(); len(fields) > 0 && fields[0] == "T" {
			return nil
		}
	}
	return fmt.Errorf("%s did not stop", p.Name)
}

// Resume lets a paused process go on.
func (p *Process) Resume() error { return p.Cmd.Process.Signal(syscall.SIGCONT) }

// Ended is closed when the process has ended.
func (p *Process) Ended() <-chan struct{} { return p.done }

// stat gives what the system says of the process, from its state on.
func (p *Process) stat() []string {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", p.Cmd.Process.Pid))
	if err != nil {
		return nil
	}
	return strings.Fields(string(b[strings.LastIndexByte(string(b), ')')+1:]))
}

// Tail gives the end of the log, for error messages.
func (p *Process) Tail() string {
	b, _ := os.ReadFile(p.Log)
	return strings.TrimSpace(string(b[max(0, len(b)-2000):]))
}

// Exited reports whether the process has ended.
func (p *Process) Exited() bool {
	select {
	case <-p.done:
		return true
	default:
		return false
	}
}

// CPU is the user and system time that the process has used so far.
func (p *Process) CPU() time.Duration {
	fields := p.stat()
	if len(fields) < 13 {
		return 0
	}
	var user, system int64
	fmt.Sscan(fields[11], &user)
	fmt.Sscan(fields[12], &system)
	return time.Duration(user+system) * (time.Second / 100)
}

// RSS is the resident memory of the process in bytes.
func (p *Process) RSS() int64 {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/statm", p.Cmd.Process.Pid))
	if err != nil {
		return 0
	}
	var size, resident int64
	fmt.Sscan(string(b), &size, &resident)
	return resident * int64(os.Getpagesize())
}

// Close ends every process and removes the folder.
func (g *Group) Close() {
	for i := len(g.procs) - 1; i >= 0; i-- {
		g.procs[i].Stop()
	}
	_ = os.RemoveAll(g.Dir)
}

// WaitUntil polls a condition until it holds, ctx ends or a process of the list exits.
func WaitUntil(ctx context.Context, what string, ready func(context.Context) bool, procs ...*Process) error {
	for !ready(ctx) {
		for _, p := range procs {
			if p.Exited() {
				return fmt.Errorf("%s: %s ended while starting:\n%s", what, p.Name, p.Tail())
			}
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("%s: not ready in time", what)
		case <-time.After(2 * time.Millisecond):
		}
	}
	return nil
}
