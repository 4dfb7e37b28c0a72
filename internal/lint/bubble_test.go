package lint

import (
	"go/ast"
	"testing"
)

// TestBubbles holds tests to package bubble, since synctest.Test alone crashes the race detector now and then.
func TestBubbles(t *testing.T) {
	tr, _ := loadAll(t)
	for _, f := range tr.files {
		if f.pkg == "internal/bubble" {
			continue
		}
		for _, pos := range calls(f.ast, "synctest", "Test") {
			t.Errorf("%s:%d: call bubble.Test, not synctest.Test", f.path, tr.fset.Position(pos.Pos()).Line)
		}
	}
}

// calls lists where pkg.name is used in f.
func calls(f *ast.File, pkg, name string) []ast.Node {
	var found []ast.Node
	ast.Inspect(f, func(n ast.Node) bool {
		sel, ok := n.(*ast.SelectorExpr)
		if !ok || sel.Sel.Name != name {
			return true
		}
		if x, ok := sel.X.(*ast.Ident); ok && x.Name == pkg {
			found = append(found, sel)
		}
		return true
	})
	return found
}
