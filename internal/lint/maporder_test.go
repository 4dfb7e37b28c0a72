package lint

import (
	"bytes"
	"go/ast"
	"go/importer"
	"go/parser"
	"go/token"
	"go/types"
	"io"
	"os"
	"os/exec"
	"path"
	"slices"
	"strings"
	"testing"
)

// TestFloors_NoMapOrder keeps the random order of maps out of floor 0: two replicas, or two runs, would differ. A function that
// ranges over a map stands in maporder.txt with the reason why its order cannot be seen.
func TestFloors_NoMapOrder(t *testing.T) {
	tr, fl := loadAll(t)
	var pure []string
	for _, pkg := range tr.packages() {
		if row, ok := fl.of(pkg); ok && row.floor == "0" {
			pure = append(pure, "./"+pkg)
		}
	}
	built := listBuilt(t, pure)
	excused, found := readReasons(t, "maporder.txt"), map[string]bool{}
	for _, pkg := range pure {
		pkg = strings.TrimPrefix(pkg, "./")
		files := tr.compiled(pkg, built[module+pkg].files)
		ranges, err := mapRanges(tr.fset, module+pkg, files, built.open)
		if err != nil {
			t.Fatalf("%s: %v", pkg, err)
		}
		for _, r := range ranges {
			at := tr.fset.Position(r.pos)
			name := pkg + "/" + path.Base(at.Filename) + ":" + r.function
			found[name] = true
			if !excused[name] {
				t.Errorf("%s (line %d) ranges over a map: sort its keys, or say in maporder.txt why its order cannot be seen", name, at.Line)
			}
		}
	}
	for name := range excused {
		if !found[name] {
			t.Errorf("maporder.txt: %s ranges over no map any more", name)
		}
	}
}

// compiled gives the files of a package that go list names: others are behind build tags.
func (t *tree) compiled(pkg string, names []string) (files []*ast.File) {
	for _, f := range t.files {
		if f.pkg == pkg && slices.Contains(names, path.Base(f.path)) {
			files = append(files, f.ast)
		}
	}
	return files
}

// builtPackage is what go list says of a package.
type builtPackage struct {
	export string // the file that has its types
	files  []string
}

type builtPackages map[string]builtPackage

// listBuilt has packages and all that they import compiled, which the build cache has done, and lists them.
func listBuilt(t *testing.T, patterns []string) builtPackages {
	t.Helper()
	cmd := exec.Command("go", append([]string{"list", "-export", "-deps", "-f", "{{.ImportPath}}\t{{.Export}}\t{{join .GoFiles \" \"}}"}, patterns...)...)
	cmd.Dir = root
	var problem bytes.Buffer
	cmd.Stderr = &problem
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("go list: %v\n%s", err, problem.String())
	}
	built := builtPackages{}
	for line := range strings.Lines(string(out)) {
		if words := strings.Split(strings.TrimSuffix(line, "\n"), "\t"); len(words) == 3 {
			built[words[0]] = builtPackage{export: words[1], files: strings.Fields(words[2])}
		}
	}
	return built
}

// open reads the types of an imported package.
func (b builtPackages) open(path string) (io.ReadCloser, error) { return os.Open(b[path].export) }

// mapRange is a loop over a map, or over an iterator of one.
type mapRange struct {
	function string
	pos      token.Pos
}

// mapRanges lists the loops of a package whose order is that of a map, and the iterators of maps that are not sorted at once.
func mapRanges(fset *token.FileSet, name string, files []*ast.File, open importer.Lookup) ([]mapRange, error) {
	info := &types.Info{Types: map[ast.Expr]types.TypeAndValue{}}
	config := types.Config{Importer: importer.ForCompiler(fset, "gc", open)}
	if _, err := config.Check(name, fset, files, info); err != nil {
		return nil, err
	}
	var found []mapRange
	for _, f := range files {
		for _, decl := range f.Decls {
			function := "a variable"
			if fn, ok := decl.(*ast.FuncDecl); ok {
				function = fn.Name.Name
			}
			ast.Inspect(decl, func(n ast.Node) bool {
				if n != nil && inMapOrder(n, info) {
					found = append(found, mapRange{function, n.Pos()})
				}
				return !sortsAtOnce(n)
			})
		}
	}
	return found, nil
}

// inMapOrder reports whether a node gives the entries of a map in its order.
func inMapOrder(n ast.Node, info *types.Info) bool {
	if loop, ok := n.(*ast.RangeStmt); ok {
		return isMap(info.TypeOf(loop.X))
	}
	return isCall(n, "maps", "Keys", "Values", "All")
}

// isMap reports whether a type is a map, or a parameter that may be one.
func isMap(of types.Type) bool {
	switch of := of.Underlying().(type) {
	case *types.Map:
		return true
	case *types.Interface: // the constraint of a type parameter: nothing else that is an interface can be ranged over
		return slices.ContainsFunc(slices.Collect(of.EmbeddedTypes()), isMap)
	case *types.Union:
		return slices.ContainsFunc(slices.Collect(of.Terms()), func(term *types.Term) bool { return isMap(term.Type()) })
	}
	return false
}

// sortsAtOnce reports whether a node sorts an iterator before anybody sees its order.
func sortsAtOnce(n ast.Node) bool { return isCall(n, "slices", "Sorted", "SortedFunc") }

func isCall(n ast.Node, pkg string, names ...string) bool {
	call, ok := n.(*ast.CallExpr)
	if !ok {
		return false
	}
	sel, ok := call.Fun.(*ast.SelectorExpr)
	if !ok {
		return false
	}
	x, ok := sel.X.(*ast.Ident)
	return ok && x.Name == pkg && slices.Contains(names, sel.Sel.Name)
}

func TestMapRanges(t *testing.T) {
	const src = `package p
import ("maps"; "slices")
type set map[string]bool
func alias(s set) { for range s {} }
func list(l []int) { for range l {} }
func sorted(s set) []string { return slices.Sorted(maps.Keys(s)) }
func collected(s set) []string { return slices.Collect(maps.Keys(s)) }
func generic[M ~map[K]V, K comparable, V any](m M) { for range m {} }
`
	fset := token.NewFileSet()
	file, err := parser.ParseFile(fset, "p.go", src, 0)
	if err != nil {
		t.Fatal(err)
	}
	ranges, err := mapRanges(fset, "p", []*ast.File{file}, listBuilt(t, []string{"maps", "slices"}).open)
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, r := range ranges {
		got = append(got, r.function)
	}
	if want := []string{"alias", "collected", "generic"}; !slices.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
}
