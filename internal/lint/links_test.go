package lint

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

var (
	// linked is where a link of a document, or the runbook of an alert rule, leads to.
	linked  = regexp.MustCompile(`\]\(([^)\s]+)\)|runbook: (\S+)`)
	heading = regexp.MustCompile(`(?m)^#+ (.+)$`)
	unsaid  = regexp.MustCompile(`[^\p{L}\p{N} _-]`)
)

// Every link of a document to a file or a heading leads somewhere, and so does the runbook of every alert rule.
func TestDocs_LinksLeadSomewhere(t *testing.T) {
	var pages []string
	for _, pattern := range []string{"*.md", "docs/*.md", "docs/adr/*.md", "docs/alerts.yaml"} {
		some, err := filepath.Glob(filepath.Join(root, pattern))
		if err != nil || len(some) == 0 {
			t.Fatalf("no %s: %v", pattern, err)
		}
		pages = append(pages, some...)
	}
	found := 0
	for _, page := range pages {
		text, err := os.ReadFile(page)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range linked.FindAllStringSubmatch(string(text), -1) {
			dir, target := filepath.Dir(page), m[1]
			if m[2] != "" {
				dir, target = root, m[2]
			}
			if strings.Contains(target, "://") {
				continue
			}
			if found++; !leads(page, dir, target) {
				t.Errorf("%s: %s leads nowhere", page, target)
			}
		}
	}
	if found < 60 {
		t.Errorf("only %d links were found", found)
	}
	for _, wrong := range []string{"nothing.md", "docs/backup.md#nothing", "#nothing"} {
		if leads(filepath.Join(root, "README.md"), root, wrong) {
			t.Errorf("%s is taken for a link", wrong)
		}
	}
}

// leads reports whether a link of a page to a file, from a folder, and to a heading, is right.
func leads(page, dir, target string) bool {
	path, anchor, anchored := strings.Cut(target, "#")
	if path != "" {
		page = filepath.Join(dir, path)
	}
	text, err := os.ReadFile(page)
	if err != nil || !anchored {
		_, err = os.Stat(page)
		return err == nil
	}
	for _, m := range heading.FindAllStringSubmatch(string(text), -1) {
		if strings.ReplaceAll(unsaid.ReplaceAllString(strings.ToLower(m[1]), ""), " ", "-") == anchor {
			return true
		}
	}
	return false
}
