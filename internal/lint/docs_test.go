package lint

import (
	"go/ast"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// named is what a document says of tests: a package between backquotes, a test, or a script.
var named = regexp.MustCompile("`([a-z][a-z/]*)`|\\b((?:Test|Benchmark|Fuzz)[A-Z]\\w*)|\\b(\\w+\\.txtar)\\b")

// Every test that a document names exists, and in the package that stands before it in its cell of a table.
func TestDocs_NameTestsThatExist(t *testing.T) {
	tr, _ := loadAll(t)
	tests := testsOf(tr)
	pages, err := filepath.Glob(filepath.Join(root, "docs", "*.md"))
	if err != nil || len(pages) == 0 {
		t.Fatalf("no documents: %v", err)
	}
	found := 0
	for _, path := range pages {
		text, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		for line := range strings.Lines(string(text)) {
			for cell := range strings.SplitSeq(line, "|") {
				n, wrong := judgeCell(cell, tests)
				found += n
				for _, w := range wrong {
					t.Errorf("%s: %s", filepath.Base(path), w)
				}
			}
		}
	}
	if found < 60 {
		t.Errorf("only %d names of tests were found", found)
	}
	for _, cell := range []string{"`feed` TestHostilePeer", "`federation` TestNobody", "TestNobody", "script `nobody.txtar`"} {
		if _, wrong := judgeCell(cell, tests); len(wrong) == 0 {
			t.Errorf("%q is taken for a test", cell)
		}
	}
}

// testsOf lists the packages that have each test.
func testsOf(tr *tree) map[string][]string {
	all := map[string][]string{}
	for _, f := range tr.files {
		if !f.test {
			continue
		}
		for _, d := range f.ast.Decls {
			if fn, ok := d.(*ast.FuncDecl); ok && fn.Recv == nil {
				all[fn.Name.Name] = append(all[fn.Name.Name], f.pkg)
			}
		}
	}
	return all
}

// judgeCell counts the tests that a text names, and says which of them do not exist.
func judgeCell(text string, tests map[string][]string) (found int, wrong []string) {
	pkg := ""
	for _, m := range named.FindAllStringSubmatch(text, -1) {
		switch {
		case m[1] != "":
			pkg = m[1]
		case m[2] != "":
			found++
			if !in(pkg, tests[m[2]], tests) {
				wrong = append(wrong, "there is no test "+m[2]+" in "+pkg)
			}
		default:
			found++
			if _, err := os.Stat(filepath.Join(root, "cmd", "supercluster", "testdata", "script", m[3])); err != nil {
				wrong = append(wrong, "there is no script "+m[3])
			}
		}
	}
	return found, wrong
}

// in reports whether one of some packages is meant by a name, which may be the end of a path. A name that no package has
// is a word of the text, and says nothing.
func in(name string, pkgs []string, tests map[string][]string) bool {
	if !isPackage(name, tests) {
		return len(pkgs) > 0
	}
	for _, p := range pkgs {
		if ends(p, name) {
			return true
		}
	}
	return false
}

func isPackage(name string, tests map[string][]string) bool {
	for _, pkgs := range tests {
		for _, p := range pkgs {
			if name != "" && ends(p, name) {
				return true
			}
		}
	}
	return false
}

func ends(path, name string) bool { return path == name || strings.HasSuffix(path, "/"+name) }
