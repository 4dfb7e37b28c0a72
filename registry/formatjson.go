package registry

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"math/big"
	"strconv"
	"strings"
)

// parseJSON reads one JSON text as RFC 8259 has it, without what it leaves open: a name twice in an object and
// half a surrogate pair are refused, since readers differ about them.
func parseJSON(b []byte) (node, error) {
	var raw json.RawMessage
	if err := json.Unmarshal(b, &raw); err != nil {
		var syntax *json.SyntaxError
		if errors.As(err, &syntax) {
			line, column := position(b, max(int(syntax.Offset)-1, 0))
			return node{}, at(line, column, "%s", syntax.Error())
		}
		return node{}, err
	}
	if offset, ok := loneSurrogate(b); ok {
		line, column := position(b, offset)
		return node{}, at(line, column, "half a surrogate pair")
	}
	p := &jsonParser{text: b, dec: json.NewDecoder(bytes.NewReader(b))}
	p.dec.UseNumber()
	return p.value(0)
}

type jsonParser struct {
	text []byte
	dec  *json.Decoder
}

// fail is an error at the end of the last token.
func (p *jsonParser) fail(format string, args ...any) error {
	line, column := position(p.text, int(p.dec.InputOffset()))
	return at(line, column, format, args...)
}

func (p *jsonParser) value(depth int) (node, error) {
	token, err := p.dec.Token()
	if err != nil {
		return node{}, err
	}
	switch t := token.(type) {
	case json.Delim:
		if depth >= maxDepth {
			return node{}, p.fail("nested deeper than %d", maxDepth)
		}
		if t == '{' {
			return p.object(depth + 1)
		}
		return p.array(depth + 1)
	case string:
		return node{text: stringText(t)}, nil
	case json.Number:
		text, err := numberText(t.String())
		if err != nil {
			return node{}, p.fail("%s", err)
		}
		return node{text: text}, nil
	case bool:
		return node{text: strconv.FormatBool(t)}, nil
	default:
		return node{text: "null"}, nil
	}
}

func (p *jsonParser) array(depth int) (node, error) {
	n := node{kind: listNode}
	for p.dec.More() {
		item, err := p.value(depth)
		if err != nil {
			return node{}, err
		}
		n.items = append(n.items, item)
	}
	_, err := p.dec.Token()
	return n, err
}

func (p *jsonParser) object(depth int) (node, error) {
	var e entries
	for p.dec.More() {
		token, err := p.dec.Token()
		if err != nil {
			return node{}, err
		}
		name, ok := token.(string)
		if !ok {
			return node{}, p.fail("a name must be a string")
		}
		key := stringText(name)
		if _, twice := e.seen[key]; twice {
			return node{}, p.fail("the name %s is there twice", shown(name))
		}
		value, err := p.value(depth)
		if err != nil {
			return node{}, err
		}
		e.add(key, value)
	}
	_, err := p.dec.Token()
	return e.node(""), err
}

// loneSurrogate finds a \u escape that is half of a pair. The text is valid JSON, so a backslash stands only in
// strings and always has something behind it.
func loneSurrogate(b []byte) (int, bool) {
	for i := 0; i < len(b); i++ {
		if b[i] != '\\' {
			continue
		}
		if b[i+1] != 'u' {
			i++
			continue
		}
		switch high := escaped(b[i:]); {
		case high >= 0xDC00 && high < 0xE000:
			return i, true
		case high >= 0xD800 && high < 0xDC00:
			if low := escaped(b[i+6:]); low < 0xDC00 || low >= 0xE000 {
				return i, true
			}
			i += 11
		default:
			i += 5
		}
	}
	return 0, false
}

// escaped reads the number of a \uXXXX that b begins with; 0 if it does not.
func escaped(b []byte) uint64 {
	if len(b) < 6 || b[0] != '\\' || b[1] != 'u' {
		return 0
	}
	n, err := strconv.ParseUint(string(b[2:6]), 16, 16)
	if err != nil {
		return 0
	}
	return n
}

// maxExponent bounds the exponents of JSON numbers: no reader could hold what is beyond.
const maxExponent = 1 << 20

// numberText is the canonical form of a JSON number, exact for any number of digits.
func numberText(s string) (string, error) {
	sign := ""
	if rest, ok := strings.CutPrefix(s, "-"); ok {
		sign, s = "-", rest
	}
	exponent := new(big.Int)
	if i := strings.IndexAny(s, "eE"); i >= 0 {
		if len(s)-i > 20 {
			return "", fmt.Errorf("the exponent of a number is beyond %d", maxExponent)
		}
		exponent.SetString(strings.TrimPrefix(s[i+1:], "+"), 10)
		s = s[:i]
	}
	whole, fraction, _ := strings.Cut(s, ".")
	exponent.Sub(exponent, big.NewInt(int64(len(fraction))))
	digits := strings.TrimLeft(whole+fraction, "0")
	if digits == "" {
		return "0e0", nil
	}
	mantissa := strings.TrimRight(digits, "0")
	exponent.Add(exponent, big.NewInt(int64(len(digits)-len(mantissa))))
	if exponent.CmpAbs(big.NewInt(maxExponent)) > 0 {
		return "", fmt.Errorf("the exponent of a number is beyond %d", maxExponent)
	}
	return sign + mantissa + "e" + exponent.String(), nil
}
