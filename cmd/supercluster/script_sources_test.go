package main

import (
	"encoding/json"
	"fmt"
	"os/exec"
	"slices"
	"strings"

	"github.com/rogpeppe/go-internal/testscript"
)

// cmdSources runs supercluster with -o json and demands of the answer that each record in it says where it was written and how old it
// is, and that the regions of the records are those that are named. A list is of records; anything else is one.
func cmdSources(ts *testscript.TestScript, _ bool, args []string) {
	path, err := exec.LookPath("supercluster")
	ts.Check(err)
	cmd := exec.Command(path, append(args[1:], "-o", "json")...)
	cmd.Dir = ts.Getenv("WORK")
	out, err := cmd.Output()
	ts.Check(err)
	var answer any
	ts.Check(json.Unmarshal(out, &answer))
	records, ok := answer.([]any)
	if !ok {
		records = []any{answer}
	}
	var regions []string
	for _, record := range records {
		shown := sourcesIn(record)
		if len(shown) == 0 {
			ts.Fatalf("a record names no source:\n%s", out)
		}
		for _, source := range shown {
			if source["age"] == nil || source["revision"] == "0" {
				ts.Fatalf("a source is %v:\n%s", source, out)
			}
			regions = append(regions, fmt.Sprint(source["region"]))
		}
	}
	slices.Sort(regions)
	if got := strings.Join(slices.Compact(regions), ","); got != args[0] {
		ts.Fatalf("it shows records of %q, want %q:\n%s", got, args[0], out)
	}
}

// sourcesIn finds what is called source or sources in an answer.
func sourcesIn(answer any) (found []map[string]any) {
	switch v := answer.(type) {
	case []any:
		for _, one := range v {
			found = append(found, sourcesIn(one)...)
		}
	case map[string]any:
		for name, inner := range v {
			switch inner := inner.(type) {
			case map[string]any:
				if name == "source" {
					found = append(found, inner)
					continue
				}
				found = append(found, sourcesIn(inner)...)
			case []any:
				for _, one := range inner {
					if source, ok := one.(map[string]any); ok && name == "sources" {
						found = append(found, source)
						continue
					}
					found = append(found, sourcesIn(one)...)
				}
			}
		}
	}
	return found
}
