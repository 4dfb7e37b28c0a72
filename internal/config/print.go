package config

import (
	"bytes"
	"strings"

	"go.yaml.in/yaml/v3"
)

// Print gives the configuration as a YAML file, every key with its value.
func (s Server) Print() ([]byte, error) {
	top := &yaml.Node{Kind: yaml.MappingNode}
	groups := map[string]*yaml.Node{}
	for _, f := range Fields() {
		at, name := top, f.Key
		if group, rest, ok := strings.Cut(f.Key, "."); ok {
			if groups[group] == nil {
				groups[group] = &yaml.Node{Kind: yaml.MappingNode}
				top.Content = append(top.Content, scalar(group, ""), groups[group])
			}
			at, name = groups[group], rest
		}
		at.Content = append(at.Content, scalar(name, ""), f.node(&s))
	}
	var out bytes.Buffer
	encoder := yaml.NewEncoder(&out)
	encoder.SetIndent(2)
	if err := encoder.Encode(top); err != nil {
		return nil, err
	}
	return out.Bytes(), nil
}

// node gives the value of the field as a file shows it.
func (f Field) node(s *Server) *yaml.Node {
	values := f.get(s)
	switch f.kind {
	case kindMap:
		n := &yaml.Node{Kind: yaml.MappingNode}
		for _, v := range values {
			name, address, _ := strings.Cut(v, "=")
			n.Content = append(n.Content, scalar(name, "!!str"), scalar(address, "!!str"))
		}
		return n
	case kindList:
		n := &yaml.Node{Kind: yaml.SequenceNode, Style: yaml.FlowStyle}
		for _, v := range values {
			n.Content = append(n.Content, scalar(v, "!!str"))
		}
		return n
	case kindText:
		return scalar(values[0], "!!str")
	default:
		return scalar(values[0], "")
	}
}

func scalar(value, tag string) *yaml.Node {
	return &yaml.Node{Kind: yaml.ScalarNode, Tag: tag, Value: value}
}
