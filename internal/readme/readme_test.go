package readme

import (
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

const root = "../.."

// patience is how long the commands of one kind may take. They take seconds, unless the client that they run is compiled first.
const patience = 5 * time.Minute

// defaultPorts are the ports that the quick start uses.
var defaultPorts = []int{
	8500, 8502, 8600, 8300, 8303, 8505, 9001, 10000, 9901, 8510, 8512, 8610, 8310, 8313, 8520, 8522, 8620, 8320, 8323,
}

// commands gives the commands of the README's blocks of a kind: `sh quickstart`, `sh regions`.
func commands(t *testing.T, kind string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(root, "README.md"))
	if err != nil {
		t.Fatal(err)
	}
	var script strings.Builder
	in := false
	for _, line := range strings.Split(string(text), "\n") {
		switch {
		case line == "```sh "+kind:
			in = true
		case line == "```":
			in = false
		case in && strings.HasPrefix(line, "#"):
			t.Fatalf("the README has %q among its commands: nothing would run it", line)
		case in:
			script.WriteString(line + "\n")
		}
	}
	if script.Len() == 0 {
		t.Fatalf("the README has no `sh %s` block", kind)
	}
	return script.String()
}

func skip(t *testing.T, format string, args ...any) {
	t.Helper()
	if os.Getenv("SUPERCLUSTER_REQUIRE_CLIENTS") != "" {
		t.Fatalf(format, args...)
	}
	t.Skipf("SKIP: "+format, args...)
}

// Every command of the quick start works as written, against `supercluster dev` on its default ports. As root it
// runs in a network namespace of its own, where those ports are always free.
func TestQuickStart(t *testing.T) {
	run(t, "quickstart", "dev", "127.0.0.1", "hello from web", "edge-1", "xds:///api: 127.0.0.1:8502 says SERVING", "limit")
}

// So do those about several regions, against `supercluster dev --regions 3`.
func TestRegions(t *testing.T) {
	run(t, "regions", "dev --regions 3 --delay 40ms", "dc2", "equal", "127.0.0.1", "20")
}

func run(t *testing.T, kind, server string, wants ...string) {
	t.Helper()
	abs, err := filepath.Abs(root)
	if err != nil {
		t.Fatal(err)
	}
	for _, tool := range []string{"dig", "curl", "python3"} {
		if _, err := exec.LookPath(tool); err != nil {
			skip(t, "%s is not installed: run tools/install.sh --all", tool)
		}
	}
	if _, err := os.Stat(filepath.Join(abs, ".tools", "bin", "envoy")); err != nil {
		skip(t, "there is no Envoy: run `make tools`")
	}
	if _, err := os.Stat(filepath.Join(abs, "bin", "supercluster")); err != nil {
		skip(t, "there is no bin/supercluster: run `make build`")
	}
	dir := checkout(t, abs)
	script := fmt.Sprintf(harness, server, commands(t, kind))
	command := []string{"bash", "-c", script}
	if os.Geteuid() == 0 {
		command = []string{"unshare", "--net", "bash", "-c", "ip link set lo up\n" + script}
	} else if taken := takenPort(); taken != 0 {
		skip(t, "port %d is in use, and without root there is no namespace to run in", taken)
	}
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	cmd := exec.CommandContext(ctx, command[0], command[1:]...)
	cmd.Dir = dir
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
	out, err := cmd.CombinedOutput()
	_ = syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL)
	if err != nil {
		t.Fatalf("the commands of the %s failed: %v\n%s", kind, err, out)
	}
	for _, want := range wants {
		if !strings.Contains(string(out), want) {
			t.Errorf("the commands of the %s did not print %q:\n%s", kind, want, out)
		}
	}
}

// harness starts the server as `make run` does, runs the commands and ends everything.
const harness = `
set -eu -o pipefail
trap 'kill $(jobs -p) 2>/dev/null || true' EXIT
bin/supercluster %s > dev.log 2>&1 &
for i in $(seq 100); do grep -q '^ready in' dev.log && break; sleep 0.1; done
grep '^ready in' dev.log || { cat dev.log; exit 1; }
set -x
%s
`

// checkout is a folder that looks like a checkout after `make build tools`, so that the commands leave nothing here. Of the sources
// it has those that a command runs.
func checkout(t *testing.T, abs string) string {
	t.Helper()
	dir := t.TempDir()
	if err := os.Mkdir(filepath.Join(dir, "bin"), 0o755); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"bin/supercluster", ".tools", "go.mod", "go.sum", "chaos"} {
		if err := os.Symlink(filepath.Join(abs, name), filepath.Join(dir, name)); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func takenPort() int {
	for _, port := range defaultPorts {
		l, err := net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", port))
		if err != nil {
			return port
		}
		l.Close()
	}
	return 0
}
