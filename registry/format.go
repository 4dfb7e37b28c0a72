package registry

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"slices"
	"strings"
	"unicode/utf8"

	pb "supercluster/api/gen/supercluster/v1"
	"supercluster/internal/fault"
)

// Limits of structured config values.
const (
	// maxDepth bounds nesting, so that no value can exhaust a stack here or in a client.
	maxDepth = 100
	// extraNodes and extraBytes are what aliases may add to what a text of its length can hold without them.
	extraNodes = 100_000
	extraBytes = 1 << 20
)

// Digest checks a value against its format and gives the SHA-256 of its canonical form, in lower-case hex. Two
// values of one format have the same digest exactly if they mean the same. Digests of different formats are not
// to be compared.
//
// The canonical form of text is the text itself, so its digest is what sha256sum prints. That of the other
// formats is UTF-8 text without white space:
//
//   - null, true, false
//   - a string in double quotes; `"`, `\` and control characters below U+0020 are escaped as \u00xx, nothing else
//   - a JSON number as shortest decimal mantissa and exponent: 0 and -0 are 0e0, 1 and 1.0 are 1e0, 1200 is 12e2
//   - a YAML or TOML integer in decimal, a float as `f` and its shortest float64 form: 1 and 1.0 are different types
//     there
//   - a time as the name of its type and a string: timestamp"2001-12-15T02:59:43.1Z" in YAML; time (in UTC),
//     localdatetime, localdate and localtime in TOML
//   - any other YAML tag before its value: !circle{"r":3}, !!binary"hi"
//   - [a,b] for lists and {"a":1,"b":2} for maps, with keys in the byte order of their canonical form
//   - YAML documents in a list, one or many; aliases and merge keys are expanded
func Digest(format pb.Format, value []byte) (string, error) {
	return digestOf("", format, value)
}

// digestOf is Digest with errors about the fields of a message.
func digestOf(message string, format pb.Format, value []byte) (string, error) {
	if at := invalidUTF8(value); at >= 0 {
		line, column := position(value, at)
		return "", fault.Field(dotted(message, "value"), "is not valid UTF-8: line %d, column %d", line, column)
	}
	var (
		canonical []byte
		err       error
	)
	switch format {
	case pb.Format_FORMAT_UNSPECIFIED, pb.Format_FORMAT_TEXT:
		canonical = value
	case pb.Format_FORMAT_JSON:
		canonical, err = canonicalOf(parseJSON, value)
	case pb.Format_FORMAT_YAML:
		canonical, err = canonicalOf(parseYAML, value)
	case pb.Format_FORMAT_TOML:
		canonical, err = canonicalOf(parseTOML, value)
	default:
		return "", fault.Field(dotted(message, "format"), "%d is not a format", format).
			WithHint("use json, yaml, toml or text")
	}
	if err != nil {
		return "", fault.Field(dotted(message, "value"), "is not valid %s: %s", FormatName(format), err)
	}
	sum := sha256.Sum256(canonical)
	return string(hex.AppendEncode(make([]byte, 0, 2*sha256.Size), sum[:])), nil
}

// canonicalOf parses a value and gives its canonical form. The parsers of YAML and TOML are not ours: should one
// panic on some text, that text is refused instead of ending the server.
func canonicalOf(parse func([]byte) (node, error), value []byte) (out []byte, err error) {
	defer func() {
		if p := recover(); p != nil {
			out, err = nil, fmt.Errorf("the parser gave up on it: %v", p)
		}
	}()
	n, err := parse(value)
	if err != nil {
		return nil, err
	}
	return n.append(make([]byte, 0, len(value)+16)), nil
}

func invalidUTF8(b []byte) int {
	if utf8.Valid(b) {
		return -1
	}
	for at := 0; at < len(b); {
		r, n := utf8.DecodeRune(b[at:])
		if r == utf8.RuneError && n == 1 {
			return at
		}
		at += n
	}
	return -1
}

// position gives line and column, in characters, from 1, of an offset.
func position(b []byte, offset int) (line, column int) {
	line, column = 1, 1
	for at := 0; at < min(offset, len(b)); {
		r, n := utf8.DecodeRune(b[at:])
		at += n
		if r == '\n' {
			line, column = line+1, 1
		} else {
			column++
		}
	}
	return line, column
}

// at is an error with its place.
func at(line, column int, format string, args ...any) error {
	return fmt.Errorf("line %d, column %d: %s", line, column, fmt.Sprintf(format, args...))
}

// node is one value of a parsed text. Scalars and keys are kept in their canonical form.
type node struct {
	kind nodeKind
	// text of a scalar; before a list or a map, its tag.
	text  string
	items []node
	keys  []string // of a map, sorted; beside items
}

type nodeKind uint8

const (
	scalarNode nodeKind = iota
	listNode
	mapNode
)

func (n node) append(dst []byte) []byte {
	dst = append(dst, n.text...)
	switch n.kind {
	case listNode:
		dst = append(dst, '[')
		for i, item := range n.items {
			if i > 0 {
				dst = append(dst, ',')
			}
			dst = item.append(dst)
		}
		return append(dst, ']')
	case mapNode:
		dst = append(dst, '{')
		for i, item := range n.items {
			if i > 0 {
				dst = append(dst, ',')
			}
			dst = append(dst, n.keys[i]...)
			dst = append(dst, ':')
			dst = item.append(dst)
		}
		return append(dst, '}')
	default:
		return dst
	}
}

const hexDigits = "0123456789abcdef"

// stringText is the canonical form of a string.
func stringText(s string) string {
	b := make([]byte, 0, len(s)+2)
	b = append(b, '"')
	for i := range len(s) {
		if c := s[i]; c < 0x20 || c == '"' || c == '\\' {
			b = append(b, '\\', 'u', '0', '0', hexDigits[c>>4], hexDigits[c&15])
		} else {
			b = append(b, c)
		}
	}
	return string(append(b, '"'))
}

// entries gather the fields of a map; none may come twice.
type entries struct {
	list []entry
	seen map[string]struct{}
}

type entry struct {
	key   string
	value node
}

// add adds a field; false: it is there already.
func (e *entries) add(key string, value node) bool {
	if _, twice := e.seen[key]; twice {
		return false
	}
	if e.seen == nil {
		e.seen = map[string]struct{}{}
	}
	e.seen[key] = struct{}{}
	e.list = append(e.list, entry{key, value})
	return true
}

// node gives the map, in the order of its keys.
func (e *entries) node(tag string) node {
	slices.SortFunc(e.list, func(a, b entry) int { return strings.Compare(a.key, b.key) })
	n := node{kind: mapNode, text: tag, items: make([]node, 0, len(e.list)), keys: make([]string, 0, len(e.list))}
	for _, x := range e.list {
		n.keys = append(n.keys, x.key)
		n.items = append(n.items, x.value)
	}
	return n
}
