package lint

import (
	"go/ast"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
)

// rpcs lists every method of api/proto as Service/Method.
func rpcs(t *testing.T) []string {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(root, "api", "proto", "supercluster", "v1", "*.proto"))
	if err != nil || len(files) == 0 {
		t.Fatalf("no .proto files: %v", err)
	}
	line := regexp.MustCompile(`^\s*(service|rpc)\s+(\w+)`)
	var all []string
	for _, path := range files {
		text, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		service := ""
		for _, l := range strings.Split(string(text), "\n") {
			switch m := line.FindStringSubmatch(l); {
			case m == nil:
			case m[1] == "service":
				service = m[2]
			default:
				all = append(all, service+"/"+m[2])
			}
		}
	}
	return all
}

// Every RPC has an authorization row that names verb, kind and quota class.
func TestTables_EveryRPCHasARow(t *testing.T) {
	tr, _ := loadAll(t)
	rows := authorizationRows(tr)
	for _, rpc := range rpcs(t) {
		fields, ok := rows[rpc]
		switch {
		case !ok:
			t.Errorf("%s has no row in methodTable of api/server/methods.go", rpc)
		case !strings.HasPrefix(fields[0], "Verb") || !strings.HasPrefix(fields[1], "Kind") || !strings.HasPrefix(fields[2], "class"):
			t.Errorf("the row of %s names %v, want a verb, a kind and a quota class", rpc, fields)
		}
	}
}

// authorizationRows reads methodTable: what each row names after the method.
func authorizationRows(tr *tree) map[string][]string {
	rows := map[string][]string{}
	for _, f := range tr.files {
		if f.path != "api/server/methods.go" {
			continue
		}
		ast.Inspect(f.ast, func(n ast.Node) bool {
			lit, ok := n.(*ast.CompositeLit)
			if !ok || len(lit.Elts) < 4 {
				return true
			}
			sum, ok := lit.Elts[0].(*ast.BinaryExpr)
			if !ok {
				return true
			}
			name, ok := sum.Y.(*ast.BasicLit)
			if !ok {
				return true
			}
			method, err := strconv.Unquote(name.Value)
			if err != nil {
				return true
			}
			for _, e := range lit.Elts[1:] {
				rows[method] = append(rows[method], lastName(e))
			}
			return true
		})
	}
	return rows
}

// lastName is the identifier of an expression, without its package.
func lastName(e ast.Expr) string {
	switch e := e.(type) {
	case *ast.SelectorExpr:
		return e.Sel.Name
	case *ast.Ident:
		return e.Name
	default:
		return ""
	}
}

// Every error kind has a mapping.
func TestTables_EveryKindIsMapped(t *testing.T) {
	tr, _ := loadAll(t)
	kinds, mapped := map[string]bool{}, map[string]bool{}
	for _, f := range tr.files {
		switch f.path {
		case "internal/fault/fault.go":
			for _, name := range constants(f.ast, "Kind") {
				kinds[name] = true
			}
		case "api/status/table.go":
			ast.Inspect(f.ast, func(n ast.Node) bool {
				if kv, ok := n.(*ast.KeyValueExpr); ok {
					mapped[lastName(kv.Key)] = true
				}
				return true
			})
		}
	}
	delete(kinds, "kindEnd")
	if len(kinds) < 20 {
		t.Fatalf("found only %d kinds", len(kinds))
	}
	for kind := range kinds {
		if !mapped[kind] {
			t.Errorf("fault.%s has no row in the table of api/status/table.go", kind)
		}
	}
}

// constants lists the names of the constant block whose first entry has a type.
func constants(f *ast.File, typeName string) []string {
	var names []string
	for _, decl := range f.Decls {
		gen, ok := decl.(*ast.GenDecl)
		if !ok || len(gen.Specs) == 0 {
			continue
		}
		first, ok := gen.Specs[0].(*ast.ValueSpec)
		if !ok || lastName(first.Type) != typeName {
			continue
		}
		for _, spec := range gen.Specs {
			for _, name := range spec.(*ast.ValueSpec).Names {
				names = append(names, name.Name)
			}
		}
	}
	return names
}
