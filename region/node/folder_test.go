package node

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"supercluster/internal/fault"
)

func folderConfig(dir string) FolderConfig {
	return FolderConfig{Dir: dir, Region: "dc1", Node: "n2", Members: []string{"n3", "n1", "n2"}}
}

// begin makes a folder that was started once.
func begin(t *testing.T, dir string) {
	t.Helper()
	cfg := folderConfig(dir)
	cfg.Bootstrap = true
	f, err := OpenFolder(context.Background(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	for _, d := range []string{f.RaftDir(), f.StateDir()} {
		if err := os.MkdirAll(d, 0o700); err != nil {
			t.Fatal(err)
		}
	}
	if err := f.begun(); err != nil {
		t.Fatal(err)
	}
	f.Close()
}

func TestFolder_BootCountsAndReplicaStays(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "data")
	begin(t, dir)
	for boot := uint64(2); boot < 5; boot++ {
		f, err := OpenFolder(context.Background(), folderConfig(dir))
		if err != nil {
			t.Fatal(err)
		}
		if f.Boot() != boot || f.Replica() != 2 || f.Members()["n3"] != 3 {
			t.Errorf("boot %d replica %d members %v, want boot %d", f.Boot(), f.Replica(), f.Members(), boot)
		}
		f.Close()
	}
}

func TestFolder_RegionID(t *testing.T) {
	dir := t.TempDir()
	begin(t, dir)
	f, err := OpenFolder(context.Background(), folderConfig(dir))
	if err != nil {
		t.Fatal(err)
	}
	if _, known := f.RegionID(); known {
		t.Error("a new folder knows a region id")
	}
	for range 2 {
		if err := f.SetRegionID([16]byte{7}); err != nil {
			t.Fatal(err)
		}
	}
	f.Close()
	f, err = OpenFolder(context.Background(), folderConfig(dir))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if id, known := f.RegionID(); !known || id != [16]byte{7} {
		t.Errorf("%x, %v", id, known)
	}
	if err := f.SetRegionID([16]byte{8}); !fault.Is(err, fault.Corrupt) {
		t.Errorf("another region's log: %v", err)
	}
}

func TestFolder_Refuses(t *testing.T) {
	knows := func(_ context.Context, member string) (bool, error) {
		if member == "n1" {
			return false, errors.New("unreachable")
		}
		return member == "n3", nil
	}
	tests := []struct {
		name    string
		prepare func(t *testing.T, dir string)
		change  func(*FolderConfig)
		kind    fault.Kind
		text    string
	}{
		{"an empty folder without bootstrap", nil, nil, fault.Conflict, "add --bootstrap"},
		{"bootstrap while a member knows the node", nil, func(c *FolderConfig) { c.Bootstrap, c.Knows = true, knows }, fault.Conflict, `"n3" answers that region "dc1" exists`},
		{"bootstrap of a used folder", begin, func(c *FolderConfig) { c.Bootstrap = true }, fault.Conflict, "first start only"},
		{"another node's folder", begin, func(c *FolderConfig) { c.Node = "n1" }, fault.Conflict, `belongs to node "n2", not "n1"`},
		{"another region's folder", begin, func(c *FolderConfig) { c.Region = "dc2" }, fault.Conflict, `belongs to region "dc1", not "dc2"`},
		{"another region's id", func(t *testing.T, dir string) {
			edit(t, dir, func(id map[string]any) { id["region_id"] = strings.Repeat("07", 16) })
		}, func(c *FolderConfig) { c.RegionID = [16]byte{8} }, fault.Conflict, "belongs to region id 07070707070707070707070707070707, and the identity is that of 0800"},
		{"other members", begin, func(c *FolderConfig) { c.Members = []string{"n1", "n2"} }, fault.Conflict, "other members"},
		{"somebody's files", func(t *testing.T, dir string) { write(t, dir, "thesis.txt", "x") }, func(c *FolderConfig) { c.Bootstrap = true }, fault.Conflict, "not a node's"},
		{"a newer format", func(t *testing.T, dir string) { edit(t, dir, func(id map[string]any) { id["format"] = 99 }) }, nil, fault.Unsupported, "format 99"},
		{"a torn identity", func(t *testing.T, dir string) { write(t, dir, identityName, `{"format":1,`) }, nil, fault.Corrupt, "does not parse"},
		{"an identity without numbers", func(t *testing.T, dir string) { edit(t, dir, func(id map[string]any) { id["replica"] = 0 }) }, nil, fault.Corrupt, "damaged"},
		{"a lost log", func(t *testing.T, dir string) { begin(t, dir); os.RemoveAll(filepath.Join(dir, raftName)) }, nil, fault.Corrupt, "lost its raft folder"},
		{"a lost state", func(t *testing.T, dir string) { begin(t, dir); os.RemoveAll(filepath.Join(dir, stateName)) }, nil, fault.Corrupt, "lost its state folder"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			dir := t.TempDir()
			if tt.prepare != nil {
				tt.prepare(t, dir)
			}
			cfg := folderConfig(dir)
			if tt.change != nil {
				tt.change(&cfg)
			}
			f, err := OpenFolder(context.Background(), cfg)
			if err == nil {
				f.Close()
				t.Fatal("it was opened")
			}
			if !fault.Is(err, tt.kind) || !strings.Contains(err.Error(), tt.text) {
				t.Errorf("%v: %v; want %v with %q", fault.KindOf(err), err, tt.kind, tt.text)
			}
		})
	}
}

func TestFolder_BootstrapWhileMembersAreNewToo(t *testing.T) {
	cfg := folderConfig(t.TempDir())
	cfg.Bootstrap = true
	cfg.Knows = func(context.Context, string) (bool, error) { return false, nil }
	f, err := OpenFolder(context.Background(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	f.Close()
	// The start was interrupted before the log existed: it goes on without the flag.
	cfg.Bootstrap = false
	if f, err = OpenFolder(context.Background(), cfg); err != nil {
		t.Fatal(err)
	}
	f.Close()
}

func TestFolder_DevNeedsNoFlag(t *testing.T) {
	cfg := FolderConfig{Dir: t.TempDir(), Region: "dev", Node: "dev", Members: []string{"dev"}, Dev: true}
	for range 2 {
		f, err := OpenFolder(context.Background(), cfg)
		if err != nil {
			t.Fatal(err)
		}
		f.Close()
	}
}

func TestFolder_RegionIDOfTheConfiguration(t *testing.T) {
	for _, stored := range []string{"", "07000000000000000000000000000000"} {
		dir := t.TempDir()
		edit(t, dir, func(id map[string]any) { id["region_id"] = stored })
		cfg := folderConfig(dir)
		cfg.RegionID = [16]byte{7}
		f, err := OpenFolder(context.Background(), cfg)
		if err != nil {
			t.Fatalf("a folder with the id %q: %v", stored, err)
		}
		f.Close()
	}
}

func TestStoredRegionID(t *testing.T) {
	tests := []struct {
		name    string
		prepare func(t *testing.T, dir string)
		want    [16]byte
		text    string // "" is no error
	}{
		{"an empty folder", func(*testing.T, string) {}, [16]byte{}, ""},
		{"no folder", func(t *testing.T, dir string) {
			if err := os.Remove(dir); err != nil {
				t.Fatal(err)
			}
		}, [16]byte{}, ""},
		{"keys only", func(t *testing.T, dir string) {
			if err := os.Mkdir(filepath.Join(dir, keysName), 0o700); err != nil {
				t.Fatal(err)
			}
		}, [16]byte{}, ""},
		{"a node that never learned it", begin, [16]byte{}, ""},
		{"a node that knows it", func(t *testing.T, dir string) {
			edit(t, dir, func(id map[string]any) { id["region_id"] = "07000000000000000000000000000000" })
		}, [16]byte{7}, ""},
		{"somebody's files", func(t *testing.T, dir string) { write(t, dir, "thesis.txt", "x") }, [16]byte{}, "not a node's"},
		{"a torn identity", func(t *testing.T, dir string) { write(t, dir, identityName, "{") }, [16]byte{}, "does not parse"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			dir := t.TempDir()
			tt.prepare(t, dir)
			id, err := StoredRegionID(dir)
			if id != tt.want || (err == nil) != (tt.text == "") || err != nil && !strings.Contains(err.Error(), tt.text) {
				t.Errorf("%x, %v; want %x, %q", id, err, tt.want, tt.text)
			}
		})
	}
}

func TestFolder_OneProcess(t *testing.T) {
	dir := t.TempDir()
	begin(t, dir)
	f, err := OpenFolder(context.Background(), folderConfig(dir))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if _, err := OpenFolder(context.Background(), folderConfig(dir)); !fault.Is(err, fault.Conflict) || !strings.Contains(err.Error(), "another process") {
		t.Errorf("%v", err)
	}
	if f.Boot() != 2 {
		t.Errorf("the refused start was counted: %d", f.Boot())
	}
}

func TestHostID_IsStableAndAUUID(t *testing.T) {
	// Raft keeps these: they can never change.
	if got, want := hostID("n1"), "5dddfaa9-476e-8695-b108-5ec72be2861e"; got != want {
		t.Errorf("hostID(n1) = %s, want %s", got, want)
	}
	if hostID("n1") == hostID("n2") {
		t.Error("two nodes have one id")
	}
}

func write(t *testing.T, dir, name, text string) {
	t.Helper()
	if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

func edit(t *testing.T, dir string, change func(map[string]any)) {
	t.Helper()
	begin(t, dir)
	data, err := os.ReadFile(filepath.Join(dir, identityName))
	if err != nil {
		t.Fatal(err)
	}
	id := map[string]any{}
	if err := json.Unmarshal(data, &id); err != nil {
		t.Fatal(err)
	}
	change(id)
	delete(id, "crc32c") // as a version that knew no checksum left it
	data, _ = json.Marshal(id)
	write(t, dir, identityName, string(data))
}

// A byte of the identity that changed on disk is noticed, or changes nothing.
func TestFolder_EveryByteOfTheIdentityCounts(t *testing.T) {
	dir := t.TempDir()
	begin(t, dir)
	data, err := os.ReadFile(filepath.Join(dir, identityName))
	if err != nil {
		t.Fatal(err)
	}
	want, err := parseIdentity(dir, data)
	if err != nil || want.Checksum == "" {
		t.Fatalf("%+v, %v", want, err)
	}
	for i := range data {
		for bit := range 8 {
			broken := bytes.Clone(data)
			broken[i] ^= 1 << bit
			got, err := parseIdentity(dir, broken)
			got.Checksum = want.Checksum
			if err == nil && !reflect.DeepEqual(got, want) {
				t.Errorf("byte %d, bit %d: %+v is taken for %+v", i, bit, got, want)
			}
		}
	}
}
