package config

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"

	"supercluster/internal/fault"
)

// readFile takes the keys of a YAML or JSON file. All that is wrong with it is reported, one problem for each line.
func readFile(s *Server, path string, data []byte) error {
	root, err := parse(path, data)
	if err != nil {
		return err
	}
	r := &reader{server: s, path: path, fields: Fields()}
	if root != nil {
		r.mapping("", root)
	}
	if len(r.problems) == 0 {
		return nil
	}
	return fault.New(fault.Invalid, "%s", strings.Join(r.problems, "\n"))
}

// parse gives the top mapping of a file; nil for an empty one.
func parse(path string, data []byte) (*yaml.Node, error) {
	if filepath.Ext(path) == ".json" {
		if err := checkJSON(path, data); err != nil {
			return nil, err
		}
	}
	if json.Valid(data) {
		// JSON is YAML but for tabs, which YAML refuses as indentation. In JSON they stand only between values.
		data = bytes.ReplaceAll(data, []byte("\t"), []byte(" "))
	}
	var doc yaml.Node
	decoder := yaml.NewDecoder(bytes.NewReader(data))
	if err := decoder.Decode(&doc); err != nil {
		if errors.Is(err, io.EOF) { // nothing but comments
			return nil, nil
		}
		return nil, fault.New(fault.Invalid, "%s: %s", path, strings.TrimPrefix(err.Error(), "yaml: "))
	}
	if err := decoder.Decode(new(yaml.Node)); err == nil {
		return nil, fault.New(fault.Invalid, "%s: holds more than one document", path)
	}
	if len(doc.Content) == 0 {
		return nil, nil
	}
	return doc.Content[0], nil
}

// checkJSON finds the line of a syntax error.
func checkJSON(path string, data []byte) error {
	err := json.Unmarshal(data, new(any))
	var syntax *json.SyntaxError
	if errors.As(err, &syntax) {
		line := 1 + bytes.Count(data[:min(int(syntax.Offset), len(data))], []byte("\n"))
		return fault.New(fault.Invalid, "%s:%d: %v", path, line, syntax)
	}
	return nil
}

// reader walks a file.
type reader struct {
	server   *Server
	path     string
	fields   []Field
	problems []string
}

func (r *reader) problem(n *yaml.Node, format string, args ...any) {
	r.problems = append(r.problems, fmt.Sprintf("%s:%d: ", r.path, n.Line)+fmt.Sprintf(format, args...))
}

// mapping takes the keys of a mapping whose own key is prefix, "" for the top.
func (r *reader) mapping(prefix string, n *yaml.Node) {
	if n.Kind != yaml.MappingNode {
		if n.Tag == "!!null" {
			return // "listen:" with nothing below
		}
		r.problem(n, "%s must hold keys and values", orTop(prefix))
		return
	}
	seen := map[string]bool{}
	for i := 0; i+1 < len(n.Content); i += 2 {
		key, value := n.Content[i], n.Content[i+1]
		name := key.Value
		if prefix != "" {
			name = prefix + "." + name
		}
		if seen[name] {
			r.problem(key, "%s stands there twice", name)
			continue
		}
		seen[name] = true
		r.value(name, key, value)
	}
}

func (r *reader) value(name string, key, value *yaml.Node) {
	if i := slices.IndexFunc(r.fields, func(f Field) bool { return f.Key == name }); i >= 0 {
		r.field(r.fields[i], value)
		return
	}
	if slices.ContainsFunc(r.fields, func(f Field) bool { return strings.HasPrefix(f.Key, name+".") }) {
		r.mapping(name, value)
		return
	}
	if near := Nearest(name, r.known()); near != "" {
		r.problem(key, "unknown key %q; did you mean %q?", name, near)
		return
	}
	r.problem(key, "unknown key %q; `supercluster server config` prints all keys", name)
}

// known lists the keys and the groups they stand in.
func (r *reader) known() []string {
	var names []string
	for _, f := range r.fields {
		names = append(names, f.Key)
		if group, _, ok := strings.Cut(f.Key, "."); ok && !slices.Contains(names, group) {
			names = append(names, group)
		}
	}
	return names
}

func (r *reader) field(f Field, n *yaml.Node) {
	if n.Tag == "!!null" {
		return // "key:" with nothing behind it keeps the default
	}
	var values []string
	switch {
	case f.kind == kindMap && n.Kind == yaml.MappingNode:
		for i := 0; i+1 < len(n.Content); i += 2 {
			values = append(values, n.Content[i].Value+"="+n.Content[i+1].Value)
		}
	case f.kind == kindList && n.Kind == yaml.SequenceNode:
		for _, item := range n.Content {
			if item.Kind != yaml.ScalarNode {
				r.problem(item, "%s: an item must be text", f.Key)
				return
			}
			values = append(values, item.Value)
		}
	case !f.List() && n.Kind == yaml.ScalarNode:
		values = []string{n.Value}
	default:
		r.problem(n, "%s must be %s", f.Key, f.kind)
		return
	}
	if err := f.set(r.server, values); err != nil {
		r.problem(n, "%s: %v", f.Key, err)
	}
}

// String says what a value of the kind is.
func (k kind) String() string {
	return [...]string{"text", "a number", "true or false", "a list", "a mapping of names to addresses"}[k]
}

func orTop(prefix string) string {
	if prefix == "" {
		return "the file"
	}
	return prefix
}
