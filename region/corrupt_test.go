package region

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"supercluster/internal/fault"
	"supercluster/region/record"
)

// A replica that stops for a reason like these leaves goroutines that wait for the end of the process, so the test
// runs one in a process of its own.
const childEntry = "TEST_REGION_CHILD_ENTRY"

func TestCorrupt_EntryStopsTheReplicaWithAnInstruction(t *testing.T) {
	if kind := os.Getenv(childEntry); kind != "" {
		stopByEntry(t, kind)
		return
	}
	t.Parallel()
	for kind, want := range map[string]struct {
		kind fault.Kind
		hint string // what the operator is to do
	}{
		"garbage": {fault.Corrupt, "then restore the region from a backup to have all nodes again"},
		"newer":   {fault.Unsupported, "upgrade this node to the version that the others run, then start it again"},
	} {
		child := exec.Command(os.Args[0], "-test.run", "^"+t.Name()+"$")
		child.Env = append(os.Environ(), childEntry+"="+kind)
		out, err := child.CombinedOutput()
		ended := lineWith(string(out), "ended: ")
		if err != nil || !strings.HasPrefix(ended, "ended: "+want.kind.String()+": log entry ") || !strings.Contains(ended, want.hint) {
			t.Errorf("%s: %v, %q, want %v with the hint %q\n%s", kind, err, ended, want.kind, want.hint, out)
		}
		if after := lineWith(string(out), "a put after it: "); after != "a put after it: "+fault.Unavailable.String() {
			t.Errorf("%s: %q: the replica did not stop\n%s", kind, after, out)
		}
		if strings.Contains(string(out), "panic") {
			t.Errorf("%s: the replica panicked:\n%s", kind, out)
		}
	}
}

// lineWith gives the first line that begins with a text; "" when there is none.
func lineWith(out, begin string) string {
	for line := range strings.Lines(out) {
		if strings.HasPrefix(line, begin) {
			return strings.TrimSuffix(line, "\n")
		}
	}
	return ""
}

func stopByEntry(t *testing.T, kind string) {
	dir, err := os.MkdirTemp("", "region")
	if err != nil {
		t.Fatal(err)
	}
	defer os.RemoveAll(dir)
	m := devRegion(t, dir)
	m.put(t, "k", "before")
	command := []byte("this is no entry")
	if kind == "newer" {
		command, err = record.AppendEntry(nil, &record.Entry{
			Level: record.FeatureLevel + 1, Replica: 1, Boot: 1, Sequence: 1000, Ops: []record.Op{putOp("k", "new")},
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	if err := m.parts.Load().node.ProposeRaw(command); err != nil {
		t.Fatal(err)
	}
	err = m.wait(t, 10*time.Second)
	fmt.Printf("ended: %v: %v\n", fault.KindOf(err), err)
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	_, errAfter := m.Propose(ctx, putOp("k", "after"))
	cancel()
	if errAfter == nil {
		fmt.Println("a put after it: done")
	} else {
		fmt.Printf("a put after it: %v\n", fault.KindOf(errAfter))
	}
	os.RemoveAll(dir)
	os.Exit(0)
}

// Dragonboat's own settings files in the working directory would change its internals behind our back.
func TestForeignSettingsAreRefused(t *testing.T) {
	dir := t.TempDir()
	t.Chdir(dir)
	if err := os.WriteFile(filepath.Join(dir, "dragonboat-soft-settings.json"), []byte(`{"StreamConnections":1}`), 0o600); err != nil {
		t.Fatal(err)
	}
	m := run(t, Config{
		Region: "dev", Node: "dev", Members: map[string]string{"dev": freeAddress(t)}, DataDir: filepath.Join(dir, "data"), Dev: true,
	})
	if err := m.wait(t, 5*time.Second); !fault.Is(err, fault.Conflict) || !strings.Contains(err.Error(), "dragonboat-soft-settings.json") {
		t.Errorf("%v", err)
	}
}
