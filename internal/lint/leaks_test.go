package lint

import (
	"go/ast"
	"go/parser"
	"go/token"
	"slices"
	"testing"
)

// verifiedElsewhere are packages that cannot have goleak as their TestMain, and why.
var verifiedElsewhere = map[string]string{
	"cmd/supercluster": "its TestMain is that of testscript, which ends the process; the tests of whole processes verify themselves",
}

// TestLeaks_AreLookedFor holds each package with tests that starts goroutines or processes to a TestMain of goleak: what a test leaves
// running disturbs the tests after it, and is often what a server leaves running too.
func TestLeaks_AreLookedFor(t *testing.T) {
	tr, _ := loadAll(t)
	tested, starting, verified := map[string]bool{}, map[string]string{}, map[string]bool{}
	for _, f := range tr.files {
		tested[f.pkg] = tested[f.pkg] || f.test
		verified[f.pkg] = verified[f.pkg] || f.test && len(calls(f.ast, "goleak", "VerifyTestMain")) > 0
		if what := starts(f.ast); what != "" && starting[f.pkg] == "" {
			starting[f.pkg] = f.path + " has " + what
		}
	}
	for pkg, why := range starting {
		if tested[pkg] && !verified[pkg] && verifiedElsewhere[pkg] == "" {
			t.Errorf("%s: no TestMain with goleak.VerifyTestMain, but %s", pkg, why)
		}
	}
	for pkg := range verifiedElsewhere {
		if verified[pkg] || starting[pkg] == "" {
			t.Errorf("%s needs no exception any more", pkg)
		}
	}
}

// starts says what in a file starts a goroutine or a process, or "".
func starts(f *ast.File) (what string) {
	for _, path := range []string{"os/exec", module + "internal/procs"} {
		if slices.Contains(imports(f), path) {
			return "an import of " + path
		}
	}
	ast.Inspect(f, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.GoStmt:
			what = "a go statement"
		case *ast.SelectorExpr:
			if n.Sel.Name == "Go" {
				what = "a call of Go"
			}
		}
		return what == ""
	})
	return what
}

func TestStarts(t *testing.T) {
	for src, want := range map[string]string{
		"package p\nfunc f() {}":                                              "",
		"package p\nfunc f() { go f() }":                                      "a go statement",
		"package p\nimport \"sync\"\nfunc f(w *sync.WaitGroup) { w.Go(nil) }": "a call of Go",
		"package p\nimport \"os/exec\"\nvar c exec.Cmd":                       "an import of os/exec",
	} {
		file, err := parser.ParseFile(token.NewFileSet(), "p.go", src, 0)
		if err != nil {
			t.Fatal(err)
		}
		if got := starts(file); got != want {
			t.Errorf("starts(%q) = %q, want %q", src, got, want)
		}
	}
}
