package lint

import (
	"go/ast"
	"strconv"
	"strings"
	"sync"
	"testing"
)

const root = "../.."

// parsed is the tree that all tests read: to parse it again for each would be most of their time.
var parsed = sync.OnceValues(func() (*tree, error) { return load(root) })

func loadAll(t *testing.T) (*tree, *floors) {
	t.Helper()
	tr, err := parsed()
	if err != nil {
		t.Fatal(err)
	}
	fl, err := readFloors("floors.txt")
	if err != nil {
		t.Fatal(err)
	}
	return tr, fl
}

func TestFloors_EveryPackageHasARow(t *testing.T) {
	tr, fl := loadAll(t)
	for _, pkg := range tr.packages() {
		if _, ok := fl.of(pkg); !ok {
			t.Errorf("%s has no row in internal/lint/floors.txt: add one at its place in the order", pkg)
		}
	}
}

func TestFloors_ImportsPointUpTheList(t *testing.T) {
	tr, fl := loadAll(t)
	for _, f := range tr.files {
		if f.test || f.generated() {
			continue
		}
		from, ok := fl.of(f.pkg)
		if !ok {
			continue
		}
		for _, path := range imports(f.ast) {
			if problem := judge(fl, from, f.pkg, path); problem != "" {
				t.Errorf("%s: %s", f.path, problem)
			}
		}
	}
}

// judge says what is wrong with an import, or "".
func judge(fl *floors, from floorRow, pkg, path string) string {
	if !strings.HasPrefix(path, module) {
		if from.floor == "0" && strings.Contains(strings.SplitN(path, "/", 2)[0], ".") && !fl.allowed(from.prefix, path) {
			return "floor 0 may not import " + path + " (third-party imports of floor 0 are listed in floors.txt)"
		}
		return ""
	}
	target := strings.TrimPrefix(path, module)
	if target == pkg || strings.HasPrefix(target, pkg+"/") {
		return "" // a parent may import its own children
	}
	to, ok := fl.of(target)
	switch {
	case !ok:
		return target + " has no row in floors.txt"
	case to.prefix == from.prefix:
		return ""
	case from.floor == "side":
		return ""
	case to.order > from.order:
		return pkg + " (row " + strconv.Itoa(from.order) + ") imports " + target + " (row " + strconv.Itoa(to.order) + "), which stands below it"
	case from.floor == "1" && to.floor == "1" && !strings.HasPrefix(to.prefix, "internal/"):
		return "floor-1 packages never import each other: " + pkg + " imports " + target
	}
	return ""
}

func imports(f *ast.File) []string {
	var paths []string
	for _, spec := range f.Imports {
		if path, err := strconv.Unquote(spec.Path.Value); err == nil {
			paths = append(paths, path)
		}
	}
	return paths
}

// impure are standard packages that floor 0 may not import at all, and functions it may not call.
var (
	impurePackages = map[string]bool{
		"os": true, "net": true, "net/http": true, "log": true, "log/slog": true, "math/rand": true, "math/rand/v2": true,
		"crypto/rand": true, "os/exec": true, "os/signal": true, "syscall": true, "runtime": true, "sync": true, "sync/atomic": true,
		"hash/maphash": true, // its seed is random: no two replicas hash alike
		"database/sql": true, "testing": true, "unsafe": true,
	}
	impureCalls = map[string]bool{
		"time.Now": true, "time.Since": true, "time.Until": true, "time.Sleep": true, "time.After": true,
		"time.AfterFunc": true, "time.NewTimer": true, "time.NewTicker": true, "time.Tick": true,
	}
)

func TestFloors_FloorZeroIsPure(t *testing.T) {
	tr, fl := loadAll(t)
	for _, f := range tr.files {
		row, ok := fl.of(f.pkg)
		if !ok || row.floor != "0" || f.test {
			continue
		}
		for _, problem := range impurities(f.ast) {
			t.Errorf("%s: floor 0 has no %s", f.path, problem)
		}
	}
}

// impurities lists what floor 0 may not have: imports of impure packages, goroutines, channels, clocks.
func impurities(f *ast.File) []string {
	var found []string
	for _, path := range imports(f) {
		if impurePackages[path] {
			found = append(found, "import of "+path)
		}
	}
	ast.Inspect(f, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.GoStmt:
			found = append(found, "goroutine")
		case *ast.ChanType:
			found = append(found, "channel")
		case *ast.SelectStmt:
			found = append(found, "select")
		case *ast.SelectorExpr:
			if pkg, ok := n.X.(*ast.Ident); ok && impureCalls[pkg.Name+"."+n.Sel.Name] {
				found = append(found, pkg.Name+"."+n.Sel.Name)
			}
		}
		return true
	})
	return found
}
