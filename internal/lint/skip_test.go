package lint

import (
	"go/ast"
	"go/parser"
	"go/token"
	"strconv"
	"strings"
	"testing"
)

// loud begins the line of a test that does not run, so that whoever looks for it finds all of them.
const loud = "SKIP: "

// TestSkips_AreLoud holds tests that skip to one line that begins with SKIP: and says why.
func TestSkips_AreLoud(t *testing.T) {
	tr, _ := loadAll(t)
	for _, f := range tr.files {
		for _, pos := range quietSkips(f.ast) {
			t.Errorf("%s:%d: a test that skips says why, in a text that begins with %q", f.path, tr.fset.Position(pos).Line, loud)
		}
	}
}

// quietSkips lists the calls of Skip, Skipf and SkipNow without such a text.
func quietSkips(f *ast.File) (quiet []token.Pos) {
	ast.Inspect(f, func(n ast.Node) bool {
		call, ok := n.(*ast.CallExpr)
		if !ok {
			return true
		}
		sel, ok := call.Fun.(*ast.SelectorExpr)
		if !ok {
			return true
		}
		if x, ok := sel.X.(*ast.Ident); !ok || x.Name != "t" && x.Name != "b" && x.Name != "tb" && x.Name != "f" {
			return true
		}
		switch sel.Sel.Name {
		case "SkipNow":
			quiet = append(quiet, call.Pos())
		case "Skip", "Skipf":
			if len(call.Args) == 0 || !strings.HasPrefix(beginning(call.Args[0]), loud) {
				quiet = append(quiet, call.Pos())
			}
		}
		return true
	})
	return quiet
}

// beginning is the literal that a text begins with.
func beginning(e ast.Expr) string {
	for {
		sum, ok := e.(*ast.BinaryExpr)
		if !ok {
			break
		}
		e = sum.X
	}
	lit, ok := e.(*ast.BasicLit)
	if !ok || lit.Kind != token.STRING {
		return ""
	}
	text, err := strconv.Unquote(lit.Value)
	if err != nil {
		return ""
	}
	return text
}

func TestQuietSkips(t *testing.T) {
	for call, quiet := range map[string]bool{
		`t.Skip("SKIP: no root: run it as root")`: false, `t.Skipf("SKIP: %v", err)`: false, `t.Skip("SKIP: " + why)`: false, "b.Skip(`SKIP: x`, err)": false,
		`t.Skip("SKIPPED: x")`: true, `t.Skip(why)`: true, `t.Skip()`: true, `t.SkipNow()`: true, `t.Skipf("no IPv6")`: true, `t.Skip(why + "SKIP: ")`: true,
	} {
		f, err := parser.ParseFile(token.NewFileSet(), "x.go", "package x\nfunc f() { "+call+" }", 0)
		if err != nil {
			t.Fatal(err)
		}
		if got := len(quietSkips(f)) > 0; got != quiet {
			t.Errorf("%s: quiet %v, want %v", call, got, quiet)
		}
	}
}
