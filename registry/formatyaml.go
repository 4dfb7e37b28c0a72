package registry

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"math"
	"regexp"
	"strconv"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"
)

// parseYAML reads a stream of YAML documents, with aliases and merge keys expanded within bounds.
func parseYAML(b []byte) (node, error) {
	dec := yaml.NewDecoder(bytes.NewReader(b))
	// Without aliases a value takes a byte at least, and a byte becomes six at most, when it is escaped.
	p := &yamlParser{nodes: len(b) + extraNodes, bytes: 8*len(b) + extraBytes}
	documents := node{kind: listNode}
	for {
		var doc yaml.Node
		switch err := dec.Decode(&doc); {
		case errors.Is(err, io.EOF):
			return documents, nil
		case err != nil:
			return node{}, yamlSyntax(err)
		}
		n, err := p.value(&doc, 0)
		if err != nil {
			return node{}, err
		}
		documents.items = append(documents.items, n)
	}
}

var yamlLine = regexp.MustCompile(`^yaml: (?:line (\d+): )?`)

// yamlSyntax says where the parser stopped; it tells lines only.
func yamlSyntax(err error) error {
	text := err.Error()
	m := yamlLine.FindStringSubmatch(text)
	if m == nil {
		return err
	}
	text = text[len(m[0]):]
	if m[1] == "" {
		m[1] = "1" // it leaves the first line out
	}
	return fmt.Errorf("line %s: %s", m[1], text)
}

// yamlParser counts down what it may still make, aliases included.
type yamlParser struct{ nodes, bytes int }

func yamlFail(y *yaml.Node, format string, args ...any) error {
	return at(max(y.Line, 1), max(y.Column, 1), format, args...)
}

// spend pays for one more node with a text.
func (p *yamlParser) spend(y *yaml.Node, text string) error {
	p.nodes--
	p.bytes -= len(text) + 1
	if p.nodes < 0 || p.bytes < 0 {
		return yamlFail(y, "its aliases make it too large: they may add %d values and %d bytes", extraNodes, extraBytes)
	}
	return nil
}

func (p *yamlParser) value(y *yaml.Node, depth int) (node, error) {
	if depth >= maxDepth && y.Kind != yaml.ScalarNode {
		return node{}, yamlFail(y, "nested deeper than %d, or an alias of itself", maxDepth)
	}
	switch y.Kind {
	case yaml.DocumentNode:
		if len(y.Content) == 0 {
			return node{text: "null"}, nil
		}
		return p.value(y.Content[0], depth)
	case yaml.AliasNode:
		return p.value(y.Alias, depth+1)
	case yaml.SequenceNode:
		return p.sequence(y, depth+1)
	case yaml.MappingNode:
		return p.mapping(y, depth+1)
	case yaml.ScalarNode:
		text, err := yamlScalar(y)
		if err != nil {
			return node{}, err
		}
		return node{text: text}, p.spend(y, text)
	default:
		return node{text: "null"}, p.spend(y, "null")
	}
}

// tagOf is the tag of a list or map, empty where it is the usual one.
func tagOf(y *yaml.Node, usual string) string {
	if tag := y.ShortTag(); tag != usual {
		return tag
	}
	return ""
}

func (p *yamlParser) sequence(y *yaml.Node, depth int) (node, error) {
	n := node{kind: listNode, text: tagOf(y, "!!seq")}
	if err := p.spend(y, n.text); err != nil {
		return node{}, err
	}
	for _, item := range y.Content {
		v, err := p.value(item, depth)
		if err != nil {
			return node{}, err
		}
		n.items = append(n.items, v)
	}
	return n, nil
}

// mapping reads a map. What it merges in goes after its own fields, which win; of several maps the first wins.
func (p *yamlParser) mapping(y *yaml.Node, depth int) (node, error) {
	if err := p.spend(y, y.Tag); err != nil {
		return node{}, err
	}
	var (
		e      entries
		merged []*yaml.Node
	)
	for i := 0; i+1 < len(y.Content); i += 2 {
		k, v := y.Content[i], y.Content[i+1]
		if k.Kind == yaml.ScalarNode && k.ShortTag() == "!!merge" {
			merged = append(merged, v)
			continue
		}
		key, err := p.value(k, depth)
		if err != nil {
			return node{}, err
		}
		value, err := p.value(v, depth)
		if err != nil {
			return node{}, err
		}
		if !e.add(string(key.append(nil)), value) {
			return node{}, yamlFail(k, "the key %s is there twice", shown(k.Value))
		}
	}
	for _, m := range merged {
		if err := p.merge(&e, m, depth); err != nil {
			return node{}, err
		}
	}
	return e.node(tagOf(y, "!!map")), nil
}

// merge adds the fields of a map, or of each of a list of maps, that are not there yet.
func (p *yamlParser) merge(e *entries, y *yaml.Node, depth int) error {
	if depth >= maxDepth {
		return yamlFail(y, "nested deeper than %d, or an alias of itself", maxDepth)
	}
	if err := p.spend(y, ""); err != nil {
		return err
	}
	switch {
	case y.Kind == yaml.AliasNode:
		return p.merge(e, y.Alias, depth+1)
	case y.Kind == yaml.SequenceNode:
		for _, item := range y.Content {
			if err := p.merge(e, item, depth+1); err != nil {
				return err
			}
		}
		return nil
	case y.Kind != yaml.MappingNode:
		return yamlFail(y, "only maps can be merged")
	}
	n, err := p.mapping(y, depth+1)
	if err != nil {
		return err
	}
	for i, key := range n.keys {
		e.add(key, n.items[i])
	}
	return nil
}

// yamlScalar is the canonical form of a scalar by its tag, written or resolved.
func yamlScalar(y *yaml.Node) (string, error) {
	tag := y.ShortTag()
	switch tag {
	case "!!str", "!!merge":
		return stringText(y.Value), nil
	case "!!null":
		return "null", nil
	case "!!bool", "!!int", "!!float", "!!timestamp", "!!binary":
	default:
		return tag + stringText(y.Value), nil
	}
	var v any
	if err := y.Decode(&v); err != nil {
		return "", yamlFail(y, "%s is not a %s", shown(y.Value), strings.TrimPrefix(tag, "!!"))
	}
	switch v := v.(type) {
	case bool:
		return strconv.FormatBool(v), nil
	case int:
		return strconv.Itoa(v), nil
	case int64:
		return strconv.FormatInt(v, 10), nil
	case uint64:
		return strconv.FormatUint(v, 10), nil
	case float64:
		return floatText(v), nil
	case time.Time:
		return "timestamp" + stringText(v.UTC().Format(time.RFC3339Nano)), nil
	case string:
		return tag + stringText(v), nil
	default:
		return "", yamlFail(y, "%s is not a %s", shown(y.Value), strings.TrimPrefix(tag, "!!"))
	}
}

// floatText is the canonical form of a float: -0 is 0.
func floatText(f float64) string {
	switch {
	case math.IsNaN(f):
		return "fnan"
	case f == 0:
		return "f0e+00"
	default:
		return "f" + strconv.FormatFloat(f, 'e', -1, 64)
	}
}
