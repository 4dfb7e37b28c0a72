package lint

import (
	"bufio"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path/filepath"
	"sort"
	"strings"
)

// module is the import path that our own packages begin with.
const module = "supercluster/"

// sourceFile is one parsed Go file of the module.
type sourceFile struct {
	path  string // from the root of the repository, slashes
	pkg   string // its folder
	test  bool
	lines int
	ast   *ast.File
}

// generated reports whether the file says that it is generated.
func (f *sourceFile) generated() bool { return ast.IsGenerated(f.ast) }

// tree is all Go files of the module.
type tree struct {
	fset  *token.FileSet
	files []*sourceFile
}

// skipDirs are folders without source of this module.
var skipDirs = map[string]bool{".git": true, ".tools": true, ".generate": true, "bin": true, "testdata": true, "node_modules": true}

// load parses every Go file below root, nested modules left out.
func load(root string) (*tree, error) {
	t := &tree{fset: token.NewFileSet()}
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() {
			if path != root && (skipDirs[d.Name()] || isModule(path)) {
				return filepath.SkipDir
			}
			return nil
		}
		if !strings.HasSuffix(path, ".go") {
			return nil
		}
		return t.add(root, path)
	})
	return t, err
}

func isModule(dir string) bool {
	_, err := os.Stat(filepath.Join(dir, "go.mod"))
	return err == nil
}

func (t *tree) add(root, path string) error {
	src, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	file, err := parser.ParseFile(t.fset, path, src, parser.ParseComments)
	if err != nil {
		return err
	}
	rel, err := filepath.Rel(root, path)
	if err != nil {
		return err
	}
	rel = filepath.ToSlash(rel)
	t.files = append(t.files, &sourceFile{
		path:  rel,
		pkg:   filepath.ToSlash(filepath.Dir(rel)),
		test:  strings.HasSuffix(rel, "_test.go"),
		lines: strings.Count(string(src), "\n"),
		ast:   file,
	})
	return nil
}

// packages lists the folders with non-test files, sorted.
func (t *tree) packages() []string {
	seen := map[string]bool{}
	for _, f := range t.files {
		if !f.test {
			seen[f.pkg] = true
		}
	}
	all := make([]string, 0, len(seen))
	for p := range seen {
		all = append(all, p)
	}
	sort.Strings(all)
	return all
}

// floorRow is one line of floors.txt.
type floorRow struct {
	prefix string
	floor  string
	order  int
}

// floors is the parsed floors.txt.
type floors struct {
	rows []floorRow
	// allow maps a third-party import prefix to the packages that may use it; "" is all of floor 0.
	allow map[string][]string
}

func readFloors(path string) (*floors, error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	fl := &floors{allow: map[string][]string{}}
	lines := bufio.NewScanner(file)
	for lines.Scan() {
		text, _, _ := strings.Cut(lines.Text(), "#")
		words := strings.Fields(text)
		switch {
		case len(words) == 0:
		case words[0] == "allow" && len(words) == 2:
			fl.allow[words[1]] = append(fl.allow[words[1]], "")
		case words[0] == "allow" && len(words) == 3:
			fl.allow[words[2]] = append(fl.allow[words[2]], words[1])
		case len(words) == 2:
			fl.rows = append(fl.rows, floorRow{prefix: words[0], floor: words[1], order: len(fl.rows)})
		default:
			return nil, fmt.Errorf("floors.txt: cannot read the line %q", lines.Text())
		}
	}
	return fl, lines.Err()
}

// of finds the row of a package: the longest prefix wins.
func (fl *floors) of(pkg string) (floorRow, bool) {
	best, found := floorRow{}, false
	for _, row := range fl.rows {
		if (pkg == row.prefix || strings.HasPrefix(pkg, row.prefix+"/")) && (!found || len(row.prefix) > len(best.prefix)) {
			best, found = row, true
		}
	}
	return best, found
}

// allowed reports whether a package of floor 0 may import a third-party path.
func (fl *floors) allowed(pkg, path string) bool {
	for prefix, users := range fl.allow {
		if path != prefix && !strings.HasPrefix(path, prefix+"/") {
			continue
		}
		for _, user := range users {
			if user == "" || user == pkg {
				return true
			}
		}
	}
	return false
}
