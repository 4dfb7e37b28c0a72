package lint

import (
	"bufio"
	"go/ast"
	"os"
	"strings"
	"testing"
)

// Limits: a file has at most 400 lines and a function stays near 40; above these a reason stands in exceptions.txt. Tests, which
// are lists of cases, may be twice as long.
const (
	maxFileLines     = 400
	maxTestFileLines = 2 * maxFileLines
	maxFunctionLines = 80
)

func TestSizes(t *testing.T) {
	tr, _ := loadAll(t)
	excused := readReasons(t, "exceptions.txt")
	for _, f := range tr.files {
		if f.generated() {
			continue
		}
		limit := maxFileLines
		if f.test {
			limit = maxTestFileLines
		}
		if f.lines > limit && !excused[f.path] {
			t.Errorf("%s has %d lines, more than %d: split it by what it owns", f.path, f.lines, limit)
		}
		if f.test {
			continue
		}
		for _, decl := range f.ast.Decls {
			fn, ok := decl.(*ast.FuncDecl)
			if !ok {
				continue
			}
			lines := tr.fset.Position(fn.End()).Line - tr.fset.Position(fn.Pos()).Line + 1
			if name := f.path + ":" + fn.Name.Name; lines > maxFunctionLines && !excused[name] {
				t.Errorf("%s has %d lines, more than %d: split it", name, lines, maxFunctionLines)
			}
		}
	}
}

// readReasons reads a list of exceptions: a path or path:function, then the reason.
func readReasons(t *testing.T, list string) map[string]bool {
	t.Helper()
	file, err := os.Open(list)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	excused := map[string]bool{}
	lines := bufio.NewScanner(file)
	for lines.Scan() {
		text := strings.TrimSpace(lines.Text())
		if text == "" || strings.HasPrefix(text, "#") {
			continue
		}
		name, reason, _ := strings.Cut(text, " ")
		if strings.TrimSpace(reason) == "" {
			t.Errorf("%s: %s has no reason", list, name)
		}
		excused[name] = true
	}
	return excused
}

func TestPackageComment_OnePerFolder(t *testing.T) {
	tr, _ := loadAll(t)
	comments := map[string]int{}
	for _, f := range tr.files {
		if !f.test && !f.generated() && f.ast.Doc != nil {
			comments[f.pkg]++
		}
	}
	for _, pkg := range tr.packages() {
		if strings.HasPrefix(pkg, "api/gen") {
			continue
		}
		if comments[pkg] != 1 {
			t.Errorf("%s has %d package comments, want 1", pkg, comments[pkg])
		}
	}
}

// vagueNames say nothing about what a package or file owns.
var vagueNames = []string{"util", "utils", "common", "helper", "helpers", "manager", "misc"}

func TestNames_SayWhatTheyOwn(t *testing.T) {
	tr, _ := loadAll(t)
	for _, f := range tr.files {
		for _, part := range strings.FieldsFunc(f.path, func(r rune) bool { return r == '/' || r == '_' || r == '.' }) {
			for _, vague := range vagueNames {
				if part == vague {
					t.Errorf("%s: the name %q says nothing", f.path, vague)
				}
			}
		}
	}
}
