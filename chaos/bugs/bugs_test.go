package main

import (
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"testing"
)

var constraint = regexp.MustCompile(`(?m)^//go:build (!?bug_[a-z_]+)$`)

// Each tag in the tree has its pair of files, and the list has exactly the tags of the tree.
func TestBugs_ListsTheTagsOfTheTree(t *testing.T) {
	found := map[string]int{}
	err := filepath.WalkDir("../..", func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || filepath.Ext(path) != ".go" {
			return err
		}
		text, err := os.ReadFile(path)
		if m := constraint.FindSubmatch(text); m != nil {
			found[string(m[1])]++
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, b := range bugs {
		if found[b.tag] == 0 || found[b.tag] != found["!"+b.tag] {
			t.Errorf("%s: %d files with it and %d without it", b.tag, found[b.tag], found["!"+b.tag])
		}
		delete(found, b.tag)
		delete(found, "!"+b.tag)
	}
	if len(found) > 0 {
		t.Errorf("tags that are not listed: %v", found)
	}
}
