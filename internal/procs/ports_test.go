package procs

import (
	"os"
	"os/exec"
	"strconv"
	"testing"
)

// TestFreePorts_OtherProcess plays its own second process: it finds the port claimed that the first one drew.
func TestFreePorts_OtherProcess(t *testing.T) {
	const drawn = "PROCS_TEST_DRAWN"
	if text, second := os.LookupEnv(drawn); second {
		port, err := strconv.Atoi(text)
		if err != nil {
			t.Fatal(err)
		}
		if ClaimPorts(port) == nil {
			t.Fatalf("port %d was drawn twice", port)
		}
		return
	}
	ports, err := FreePorts(24)
	if err != nil {
		t.Fatal(err)
	}
	seen := map[int]bool{}
	for _, port := range ports {
		if seen[port] || ClaimPorts(port) == nil {
			t.Errorf("port %d was given twice", port)
		}
		seen[port] = true
	}
	cmd := exec.Command(os.Args[0], "-test.run=^TestFreePorts_OtherProcess$")
	cmd.Env = append(os.Environ(), drawn+"="+strconv.Itoa(ports[0]))
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Errorf("%v\n%s", err, out)
	}
}
