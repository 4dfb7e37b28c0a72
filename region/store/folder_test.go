package store

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"

	"supercluster/internal/fault"
)

func testFolder(fs vfs.FS) *folder {
	return &folder{fs: fs, dir: "state", shard: 1, replica: 2, step: func(string) error { return nil }}
}

func mustWrite(t *testing.T, fs vfs.FS, path, content string) {
	t.Helper()
	if err := fs.MkdirAll(fs.PathDir(path), 0o700); err != nil {
		t.Fatal(err)
	}
	file, err := fs.Create(path, vfs.WriteCategoryUnspecified)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := file.Write([]byte(content)); err != nil {
		t.Fatal(err)
	}
	if err := file.Close(); err != nil {
		t.Fatal(err)
	}
}

func TestFolder_Prepare(t *testing.T) {
	ours := "supercluster state\nformat 1\nshard 1\nreplica 2\n"
	tests := []struct {
		name  string
		files map[string]string
		want  current
		kind  fault.Kind
		text  string // in the error
	}{
		{name: "empty", want: current{number: 1}},
		{name: "first start stopped in FORMAT", files: map[string]string{"FORMAT.tmp": "supercl"}, want: current{number: 1}},
		{name: "first start stopped before CURRENT", files: map[string]string{"FORMAT": ours}, want: current{number: 1}},
		{name: "first start stopped before the database", files: map[string]string{"FORMAT": ours, "CURRENT": "db-000001 new\n"}, want: current{number: 1}},
		{name: "used", files: map[string]string{"FORMAT": ours, "CURRENT": "db-000007\n", "db-000007/x": ""}, want: current{number: 7, created: true}},
		{name: "many recoveries", files: map[string]string{"FORMAT": ours, "CURRENT": "db-1234567\n"}, want: current{number: 1234567, created: true}},

		{name: "foreign", files: map[string]string{"letters.txt": "dear"}, kind: fault.Invalid, text: "letters.txt"},
		{name: "lost FORMAT", files: map[string]string{"CURRENT": "db-000001\n"}, kind: fault.Invalid, text: "no FORMAT"},
		{name: "damaged FORMAT", files: map[string]string{"FORMAT": "\x00\x00"}, kind: fault.Corrupt, text: "FORMAT"},
		{name: "cut FORMAT", files: map[string]string{"FORMAT": ours[:30]}, kind: fault.Corrupt, text: "FORMAT"},
		{name: "newer format", files: map[string]string{"FORMAT": strings.Replace(ours, "format 1", "format 2", 1)}, kind: fault.Unsupported, text: "format 2"},
		{name: "another replica", files: map[string]string{"FORMAT": strings.Replace(ours, "replica 2", "replica 3", 1)}, kind: fault.Conflict, text: "replica 3"},
		{name: "lost CURRENT", files: map[string]string{"FORMAT": ours, "db-000003/x": ""}, kind: fault.Corrupt, text: "lost its file CURRENT"},
		{name: "empty CURRENT", files: map[string]string{"FORMAT": ours, "CURRENT": ""}, kind: fault.Corrupt, text: "CURRENT"},
		{name: "torn CURRENT", files: map[string]string{"FORMAT": ours, "CURRENT": "db-000001"}, kind: fault.Corrupt, text: "CURRENT"},
		{name: "CURRENT leads outside", files: map[string]string{"FORMAT": ours, "CURRENT": "../db-000001\n"}, kind: fault.Corrupt, text: "CURRENT"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			fs := vfs.NewMem()
			for name, content := range tt.files {
				mustWrite(t, fs, "state/"+name, content)
			}
			got, err := testFolder(fs).prepare()
			if tt.text == "" {
				if err != nil || got != tt.want {
					t.Fatalf("prepare() = %+v, %v; want %+v", got, err, tt.want)
				}
				again, err := testFolder(fs).prepare()
				if err != nil || again != got {
					t.Fatalf("the second prepare() = %+v, %v; want %+v", again, err, got)
				}
				return
			}
			f, ok := fault.As(err)
			if !ok || f.Kind != tt.kind || !strings.Contains(f.Message, tt.text) || f.Hint == "" {
				t.Fatalf("prepare() failed with %v; want %v that mentions %q and says what to do", err, tt.kind, tt.text)
			}
		})
	}
}

func TestFolder_CleanKeepsTheCurrentDatabase(t *testing.T) {
	fs := vfs.NewMem()
	for _, name := range []string{"db-000001/a", "db-000002/a", "db-000003/a", "FORMAT", "CURRENT"} {
		mustWrite(t, fs, "state/"+name, "")
	}
	if err := testFolder(fs).clean(current{number: 2, created: true}); err != nil {
		t.Fatal(err)
	}
	names, err := fs.List("state")
	slices.Sort(names)
	if want := []string{"CURRENT", "FORMAT", "db-000002"}; err != nil || !slices.Equal(names, want) {
		t.Errorf("left are %v (%v), want %v", names, err, want)
	}
}

// A crash at any step of a switch leaves the old name or the new one, whatever was not synced.
func TestFolder_SwitchSurvivesACrashAtEveryStep(t *testing.T) {
	errCrash := errors.New("crash")
	for _, step := range []string{"CURRENT write", "CURRENT rename", "CURRENT sync", ""} {
		t.Run(fmt.Sprintf("at %q", step), func(t *testing.T) {
			fs := vfs.NewCrashableMem()
			f := testFolder(fs)
			if _, err := f.prepare(); err != nil {
				t.Fatal(err)
			}
			if err := f.switchTo(current{number: 1, created: true}); err != nil {
				t.Fatal(err)
			}
			f.step = func(name string) error {
				if name == step {
					return errCrash
				}
				return nil
			}
			if err := f.switchTo(current{number: 2, created: true}); err != nil && !errors.Is(err, errCrash) {
				t.Fatal(err)
			}
			after := fs.CrashClone(vfs.CrashCloneCfg{})
			got, err := testFolder(after).prepare()
			if err != nil || got.number != 1 && step != "" || got.number != 2 && step == "" {
				t.Errorf("CURRENT says %+v, %v", got, err)
			}
		})
	}
}
