package procs

import (
	"fmt"
	"os"
	"strings"
	"testing"
)

// Processes of a group that shares the processors out have one each, in turn; this process keeps all that it had.
func TestGroup_OneProcessor(t *testing.T) {
	g, err := NewGroup()
	if err != nil {
		t.Fatal(err)
	}
	defer g.Close()
	own := allowed(t, os.Getpid())
	free, err := g.Start("free", "sleep", "60")
	if err != nil {
		t.Fatal(err)
	}
	if got := allowed(t, free.Cmd.Process.Pid); got != own {
		t.Errorf("a process of a group that shares nothing out may use %q; this one %q", got, own)
	}
	g.OneProcessor()
	seen := map[string]bool{}
	for i := range 4 {
		p, err := g.Start(fmt.Sprintf("held-%d", i), "sleep", "60")
		if err != nil {
			t.Fatal(err)
		}
		list := allowed(t, p.Cmd.Process.Pid)
		if strings.ContainsAny(list, ",-") {
			t.Errorf("process %d may use the processors %s", i, list)
		}
		seen[list] = true
	}
	if strings.ContainsAny(own, ",-") && len(seen) < 2 {
		t.Errorf("of the processors %s four processes use only %v", own, seen)
	}
	if now := allowed(t, os.Getpid()); now != own {
		t.Errorf("this process may use %s now, %s before", now, own)
	}
}

// allowed gives the processors that a process may use, as the system lists them.
func allowed(t *testing.T, pid int) string {
	t.Helper()
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		t.Fatal(err)
	}
	_, list, _ := strings.Cut(string(b), "Cpus_allowed_list:")
	list, _, _ = strings.Cut(list, "\n")
	return strings.TrimSpace(list)
}
