package readme

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"supercluster/internal/procs"
)

// `make run` works from a clean clone: it builds, serves on the default ports, says where and what to type next, and Ctrl-C ends it
// without a trace.
func TestMakeRun(t *testing.T) {
	abs, err := filepath.Abs(root)
	if err != nil {
		t.Fatal(err)
	}
	if err := exec.Command("unshare", "--net", "--mount", "true").Run(); err != nil {
		skip(t, "`make run` on its default ports needs root and namespaces: unshare: %v", err)
	}
	if err := exec.Command("git", "-C", abs, "rev-parse", "--verify", "HEAD").Run(); err != nil {
		skip(t, "this is no git checkout that could be cloned: %v", err)
	}
	clone := filepath.Join(t.TempDir(), "clone")
	if out, err := exec.Command("git", "clone", "--quiet", abs, clone).CombinedOutput(); err != nil {
		t.Fatalf("git clone: %v\n%s", err, out)
	}
	region := makeRun(t, abs, clone)
	region.says(t, "HTTP   http://127.0.0.1:8500", "gRPC   127.0.0.1:8502", "DNS    127.0.0.1:8600", "export SUPERCLUSTER_SERVER=127.0.0.1:8502",
		"Next:\n  supercluster service register web ", "\n  supercluster route put ", "\n  supercluster lookup web\n")
	region.runs(t, clone)
	region.interrupt(t)
}

// made is a running `make run`.
type made struct {
	make   *exec.Cmd
	log    string
	temp   string // where it keeps its data
	serves int    // length of the log when it was ready
	ended  chan error
}

// makeRun runs `make run` in the clone and waits until it serves. The clone is mounted where the checkout is, in a mount
// namespace: the build cache knows packages by their folder, and would compile all of them again for another one. Nor does
// it find the optimized ones that a release has, because `make test` builds without a profile.
func makeRun(t *testing.T, abs, clone string) *made {
	t.Helper()
	m := &made{log: filepath.Join(t.TempDir(), "make.log"), temp: t.TempDir(), ended: make(chan error, 1)}
	log, err := os.Create(m.log)
	if err != nil {
		t.Fatal(err)
	}
	defer log.Close()
	const inside = `set -e; ip link set lo up; mount --bind "$1" "$2"; cd "$2"; exec make run`
	m.make = exec.Command("unshare", "--net", "--mount", "bash", "-c", inside, "bash", clone, abs)
	m.make.Env = append(os.Environ(), "PGO=off", "TMPDIR="+m.temp)
	m.make.Stdout, m.make.Stderr = log, log
	m.make.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} // a terminal interrupts make and what it runs
	if err := m.make.Start(); err != nil {
		t.Fatal(err)
	}
	go func() { m.ended <- m.make.Wait(); close(m.ended) }()
	t.Cleanup(func() {
		_ = syscall.Kill(-m.make.Process.Pid, syscall.SIGKILL)
		<-m.ended
	})
	// A build with an empty cache takes minutes.
	ctx, cancel := context.WithTimeout(t.Context(), 8*time.Minute)
	defer cancel()
	err = procs.WaitUntil(ctx, "make run", func(context.Context) bool {
		select {
		case err := <-m.ended:
			t.Fatalf("make run ended with %v:\n%s", err, m.output(t))
		default:
		}
		return strings.Contains(m.output(t), "\nready in ")
	})
	if err != nil {
		t.Fatalf("%v\n%s", err, m.output(t))
	}
	return m
}

func (m *made) output(t *testing.T) string {
	t.Helper()
	text, err := os.ReadFile(m.log)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

func (m *made) says(t *testing.T, wants ...string) {
	t.Helper()
	for _, want := range wants {
		if out := m.output(t); !strings.Contains(out, want) {
			t.Errorf("make run did not print %q:\n%s", want, out)
		}
	}
}

// runs types the quick start's commands about configuration, beside the server, with the program that was built.
func (m *made) runs(t *testing.T, clone string) {
	t.Helper()
	script := "set -eux -o pipefail\nexport PATH=\"$PWD/bin:$PATH\"\n"
	before := len(script)
	for line := range strings.Lines(commands(t, "quickstart")) {
		if strings.Contains(line, "supercluster config ") {
			script += line
		}
	}
	if len(script) == before {
		t.Fatal("the quick start has no command about configuration")
	}
	cmd := exec.CommandContext(t.Context(), "nsenter", fmt.Sprintf("--net=/proc/%d/ns/net", m.make.Process.Pid), "bash", "-c", script)
	cmd.Dir = clone
	out, err := cmd.CombinedOutput()
	if err != nil || !bytes.Contains(out, []byte(`{"limit": 20}`)) {
		t.Fatalf("the commands about configuration ended with %v, want the last value read:\n%s\n%s", err, out, m.output(t))
	}
	m.serves = len(m.output(t))
}

// interrupt is Ctrl-C. The server ends well and leaves no data; only make may report the interrupt.
func (m *made) interrupt(t *testing.T) {
	t.Helper()
	if err := syscall.Kill(-m.make.Process.Pid, syscall.SIGINT); err != nil {
		t.Fatal(err)
	}
	select {
	case <-m.ended:
	case <-time.After(30 * time.Second):
		t.Fatalf("make run goes on 30 s after SIGINT:\n%s", m.output(t))
	}
	for line := range strings.Lines(m.output(t)[m.serves:]) {
		if line = strings.TrimSpace(line); line != "" && !(strings.HasPrefix(line, "make: ") && strings.HasSuffix(line, " Interrupt")) {
			t.Errorf("after SIGINT it printed %q", line)
		}
	}
	left, err := os.ReadDir(m.temp)
	if err != nil || len(left) > 0 {
		t.Errorf("it left %v in its temporary folder (%v)", left, err)
	}
}
