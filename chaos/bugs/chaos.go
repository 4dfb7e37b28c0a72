package main

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"supercluster/chaos/report"
)

// seeds is how many seeds may pass over a bug before it counts as missed.
const seeds = 3

// found is what a run of the in-process tier found.
type found struct {
	checker string
	seed    uint64
	took    time.Duration
}

// chaos runs seeds of the bug's focus: the first without the bug, which must pass, then with it until one is violated.
func (b bug) chaos() (found, error) {
	dir, err := os.MkdirTemp("", "bugs")
	if err != nil {
		return found{}, err
	}
	defer func() { _ = os.RemoveAll(dir) }()
	right, wrong := filepath.Join(dir, "right"), filepath.Join(dir, "wrong")
	for to, tag := range map[string]string{right: "", wrong: b.tag} {
		if out, err := exec.Command("go", "build", "-tags", tag, "-o", to, "./chaos/inproc").CombinedOutput(); err != nil {
			return found{}, fmt.Errorf("build: %w\n%s", err, out)
		}
	}
	r, text, err := b.seed(right, dir, 1)
	if err != nil || !r.Passed() {
		return found{}, fmt.Errorf("the run does not pass without the bug: %v\n%s", err, text)
	}
	for seed := range uint64(seeds) {
		began := time.Now()
		r, text, err := b.seed(wrong, dir, seed+1)
		if err != nil {
			return found{}, fmt.Errorf("the run with the bug: %w\n%s", err, text)
		}
		if names := violated(r); len(names) > 0 {
			return found{strings.Join(names, ", "), seed + 1, time.Since(began)}, nil
		}
	}
	return found{}, fmt.Errorf("%d seeds with the bug had no violation", seeds)
}

// seed runs one seed and reads its report. A run that does not pass has one too.
func (b bug) seed(program, dir string, seed uint64) (*report.Report, []byte, error) {
	out := filepath.Join(dir, fmt.Sprintf("%s-%d", filepath.Base(program), seed))
	text, failed := exec.Command(program, "--focus", b.focus, "--seeds", "1", "--from", fmt.Sprint(seed), "--out", out).CombinedOutput()
	raw, err := os.ReadFile(filepath.Join(out, fmt.Sprintf("seed-%d", seed), "report.json"))
	if err != nil {
		return nil, text, fmt.Errorf("no report: %w (the run: %v)", err, failed)
	}
	var r report.Report
	if err := json.Unmarshal(raw, &r); err != nil {
		return nil, text, fmt.Errorf("the report: %w", err)
	}
	return &r, text, nil
}

// violated names the checkers that found something.
func violated(r *report.Report) (names []string) {
	for i := range r.Checks {
		if r.Checks[i].Violated > 0 {
			names = append(names, r.Checks[i].Name)
		}
	}
	return names
}
