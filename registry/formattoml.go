package registry

import (
	"bytes"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/pelletier/go-toml/v2"
)

// parseTOML reads a TOML document.
func parseTOML(b []byte) (node, error) {
	if err := tomlDepth(b); err != nil {
		return node{}, err
	}
	var document map[string]any
	if err := toml.Unmarshal(b, &document); err != nil {
		var where *toml.DecodeError
		if errors.As(err, &where) {
			line, column := where.Position()
			return node{}, at(line, column, "%s", bytes.TrimPrefix([]byte(where.Error()), []byte("toml: ")))
		}
		return node{}, err
	}
	return tomlNode(document)
}

// tomlNode recurses over what the parser made; tomlDepth and the parser have bounded that.
func tomlNode(v any) (node, error) {
	switch v := v.(type) {
	case map[string]any:
		var e entries
		for _, key := range sortedKeys(v) {
			value, err := tomlNode(v[key])
			if err != nil {
				return node{}, err
			}
			e.add(stringText(key), value)
		}
		return e.node(""), nil
	case []any:
		n := node{kind: listNode}
		for _, item := range v {
			value, err := tomlNode(item)
			if err != nil {
				return node{}, err
			}
			n.items = append(n.items, value)
		}
		return n, nil
	default:
		text, err := tomlScalar(v)
		return node{text: text}, err
	}
}

func tomlScalar(v any) (string, error) {
	switch v := v.(type) {
	case string:
		return stringText(v), nil
	case bool:
		return strconv.FormatBool(v), nil
	case int64:
		return strconv.FormatInt(v, 10), nil
	case float64:
		return floatText(v), nil
	case time.Time:
		return "time" + stringText(v.UTC().Format(time.RFC3339Nano)), nil
	case toml.LocalDateTime:
		return "localdatetime" + stringText(v.String()), nil
	case toml.LocalDate:
		return "localdate" + stringText(v.String()), nil
	case toml.LocalTime:
		return "localtime" + stringText(v.String()), nil
	default:
		return "", fmt.Errorf("a value of the unknown type %T", v)
	}
}

// tomlDepth bounds brackets within brackets and the parts of dotted keys before the parser, which recurses over
// both, sees them. It need not be exact about malformed text: the parser is.
func tomlDepth(b []byte) error {
	depth, parts := 0, 0
	for i := 0; i < len(b); i++ {
		switch b[i] {
		case '#':
			i = skipTo(b, i, '\n') - 1
		case '"', '\'':
			i = skipString(b, i) - 1
		case '[', '{':
			depth, parts = depth+1, 0
		case ']', '}':
			depth, parts = max(depth-1, 0), 0
		case '=', ',', '\n':
			parts = 0
		case '.':
			parts++
		}
		if depth > maxDepth || parts > maxDepth {
			line, column := position(b, i)
			return at(line, column, "nested deeper than %d", maxDepth)
		}
	}
	return nil
}

// skipTo gives the offset of the next c, or of the end.
func skipTo(b []byte, from int, c byte) int {
	if n := bytes.IndexByte(b[from:], c); n >= 0 {
		return from + n
	}
	return len(b)
}

// skipString gives the offset behind the string that begins at from.
func skipString(b []byte, from int) int {
	quote := b[from]
	long := bytes.HasPrefix(b[from:], []byte{quote, quote, quote})
	i := from + 1
	if long {
		i = from + 3
	}
	for ; i < len(b); i++ {
		switch {
		case b[i] == '\\' && quote == '"':
			i++
		case b[i] == '\n' && !long:
			return i
		case b[i] != quote:
		case !long:
			return i + 1
		case bytes.HasPrefix(b[i:], []byte{quote, quote, quote}):
			i += 3
			for n := 0; n < 2 && i < len(b) && b[i] == quote; n++ { // up to two quotes may end the text itself
				i++
			}
			return i
		}
	}
	return len(b)
}
