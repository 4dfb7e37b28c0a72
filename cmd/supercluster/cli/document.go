package cli

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"

	"supercluster/internal/config"
	"supercluster/internal/fault"
)

// A document is a message of the API as people write it, in YAML or JSON: the fields of the API, enum values in
// short (`http` for PROTOCOL_HTTP), bytes as text.

// maxDocuments bounds the documents of one file.
const maxDocuments = 10_000

// document is one document of a file.
type document struct {
	file string
	node *yaml.Node // a mapping
}

// parseDocuments splits a file into its documents; empty ones are left out.
func parseDocuments(file string, data []byte) ([]document, error) {
	if json.Valid(data) {
		// JSON is YAML but for tabs, which YAML refuses as indentation. In JSON they stand only between values.
		data = bytes.ReplaceAll(data, []byte("\t"), []byte(" "))
	}
	decoder := yaml.NewDecoder(bytes.NewReader(data))
	var all []document
	for {
		var n yaml.Node
		err := decoder.Decode(&n)
		if errors.Is(err, io.EOF) {
			return all, nil
		}
		if err != nil {
			return nil, fault.New(fault.Invalid, "%s: %s", file, strings.TrimPrefix(err.Error(), "yaml: "))
		}
		if len(n.Content) == 0 || n.Content[0].Tag == "!!null" {
			continue
		}
		d := document{file: file, node: n.Content[0]}
		if d.node.Kind != yaml.MappingNode {
			return nil, d.fail(d.node, "a document must hold keys and values")
		}
		if all = append(all, d); len(all) > maxDocuments {
			return nil, fault.New(fault.TooLarge, "%s holds more than %d documents", file, maxDocuments)
		}
	}
}

func (d document) fail(n *yaml.Node, format string, args ...any) error {
	return fault.New(fault.Invalid, "%s:%d: %s", d.file, n.Line, fmt.Sprintf(format, args...))
}

// take removes a key of the document and gives its text.
func (d document) take(key string) (value string, at *yaml.Node) {
	c := d.node.Content
	for i := 0; i+1 < len(c); i += 2 {
		if c[i].Value == key {
			value, at = c[i+1].Value, c[i]
			d.node.Content = append(append([]*yaml.Node{}, c[:i]...), c[i+2:]...)
			return value, at
		}
	}
	return "", d.node
}

// message fills a message from the document.
func (d document) message(m proto.Message) error {
	tree, err := d.mapping(m.ProtoReflect().Descriptor(), d.node)
	if err != nil {
		return err
	}
	text, err := json.Marshal(tree)
	if err != nil {
		return fault.Wrap(fault.Internal, err, "%s cannot be converted", d.file)
	}
	if err := protojson.Unmarshal(text, m); err != nil {
		why := strings.ReplaceAll(strings.TrimPrefix(err.Error(), "proto:"), "\u00a0", " ")
		if _, rest, ok := strings.Cut(why, "): "); ok {
			why = rest
		}
		return d.fail(d.node, "%s", strings.TrimSpace(why))
	}
	return nil
}

// mapping turns a YAML mapping into the JSON tree of a message.
func (d document) mapping(of protoreflect.MessageDescriptor, n *yaml.Node) (map[string]any, error) {
	n = resolved(n)
	if n.Kind != yaml.MappingNode {
		return nil, d.fail(n, "%s must hold keys and values", of.Name())
	}
	tree := map[string]any{}
	for i := 0; i+1 < len(n.Content); i += 2 {
		key, value := n.Content[i], n.Content[i+1]
		f := of.Fields().ByName(protoreflect.Name(key.Value))
		if f == nil {
			f = of.Fields().ByJSONName(key.Value)
		}
		if f == nil {
			return nil, d.unknown(of, key)
		}
		if _, twice := tree[string(f.Name())]; twice {
			return nil, d.fail(key, "%s stands there twice", key.Value)
		}
		v, err := d.field(f, value)
		if err != nil {
			return nil, err
		}
		tree[string(f.Name())] = v
	}
	return tree, nil
}

func (d document) unknown(of protoreflect.MessageDescriptor, key *yaml.Node) error {
	var known []string
	for i := range of.Fields().Len() {
		known = append(known, string(of.Fields().Get(i).Name()))
	}
	if near := config.Nearest(key.Value, known); near != "" {
		return d.fail(key, "unknown field %q; did you mean %q?", key.Value, near)
	}
	return d.fail(key, "unknown field %q; %s has %s", key.Value, strings.ToLower(string(of.Name())), strings.Join(known, ", "))
}

func (d document) field(f protoreflect.FieldDescriptor, n *yaml.Node) (any, error) {
	n = resolved(n)
	if f.IsMap() || !f.IsList() || n.Tag == "!!null" {
		return d.value(f, n)
	}
	if n.Kind != yaml.SequenceNode {
		return nil, d.fail(n, "%s must be a list", f.Name())
	}
	list := []any{}
	for _, item := range n.Content {
		v, err := d.value(f, resolved(item))
		if err != nil {
			return nil, err
		}
		list = append(list, v)
	}
	return list, nil
}

// resolved resolves an alias.
func resolved(n *yaml.Node) *yaml.Node {
	if n.Kind == yaml.AliasNode {
		return n.Alias
	}
	return n
}

func (d document) value(f protoreflect.FieldDescriptor, n *yaml.Node) (any, error) {
	switch {
	case n.Tag == "!!null":
		return nil, nil
	case f.IsMap():
		return d.plainMap(f, n)
	case f.Message() != nil && f.Message().FullName().Parent() != "google.protobuf":
		return d.mapping(f.Message(), n)
	case n.Kind != yaml.ScalarNode:
		return nil, d.fail(n, "%s must be one value", f.Name())
	case f.Kind() == protoreflect.EnumKind:
		return d.enum(f.Enum(), n)
	case f.Kind() == protoreflect.BytesKind:
		return base64.StdEncoding.EncodeToString([]byte(n.Value)), nil
	case f.Message() != nil && n.Value != "" && strings.HasSuffix(string(f.Message().Name()), "Duration"):
		return d.duration(f, n)
	case f.Kind() == protoreflect.StringKind:
		return n.Value, nil
	}
	var v any
	if err := n.Decode(&v); err != nil {
		return nil, d.fail(n, "%s: %v", f.Name(), err)
	}
	return v, nil
}

func (d document) plainMap(f protoreflect.FieldDescriptor, n *yaml.Node) (any, error) {
	if n.Kind != yaml.MappingNode {
		return nil, d.fail(n, "%s must hold keys and values", f.Name())
	}
	m := map[string]any{}
	for i := 0; i+1 < len(n.Content); i += 2 {
		v, err := d.value(f.MapValue(), resolved(n.Content[i+1]))
		if err != nil {
			return nil, err
		}
		m[n.Content[i].Value] = v
	}
	return m, nil
}

// enum takes a value by its short name in any case, its full name, or an operator's sign.
func (d document) enum(of protoreflect.EnumDescriptor, n *yaml.Node) (any, error) {
	text := strings.ToUpper(strings.ReplaceAll(operator(n.Value), "-", "_"))
	prefix := strings.TrimSuffix(string(of.Values().Get(0).Name()), "UNSPECIFIED")
	var known []string
	for i := range of.Values().Len() {
		name := string(of.Values().Get(i).Name())
		if name == text || name == prefix+text {
			return name, nil
		}
		if i > 0 {
			known = append(known, strings.ToLower(strings.TrimPrefix(name, prefix)))
		}
	}
	return nil, d.fail(n, "%q is not one of %s", n.Value, strings.Join(known, ", "))
}

// operator gives the name of the sign of a transaction's compare, or the text itself.
func operator(text string) string {
	switch text {
	case "=", "==":
		return "EQUAL"
	case "!=":
		return "NOT_EQUAL"
	case ">":
		return "GREATER"
	case "<":
		return "LESS"
	}
	return text
}

// duration takes 1m30s, and seconds as protobuf writes them.
func (d document) duration(f protoreflect.FieldDescriptor, n *yaml.Node) (any, error) {
	v, err := time.ParseDuration(n.Value)
	if err != nil {
		return nil, d.fail(n, "%s: %q is not a duration such as 5s", f.Name(), n.Value)
	}
	return strconv.FormatFloat(v.Seconds(), 'f', -1, 64) + "s", nil
}
