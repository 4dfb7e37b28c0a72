package registry

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"math"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	pb "supercluster/api/gen/supercluster/v1"
	"supercluster/internal/fault"
)

const (
	jsonFormat = pb.Format_FORMAT_JSON
	yamlFormat = pb.Format_FORMAT_YAML
	tomlFormat = pb.Format_FORMAT_TOML
	textFormat = pb.Format_FORMAT_TEXT
)

func canonical(t *testing.T, format pb.Format, text string) string {
	t.Helper()
	parse := map[pb.Format]func([]byte) (node, error){jsonFormat: parseJSON, yamlFormat: parseYAML, tomlFormat: parseTOML}[format]
	b, err := canonicalOf(parse, []byte(text))
	if err != nil {
		t.Fatalf("%s %q: %v", FormatName(format), text, err)
	}
	return string(b)
}

// TestCanonical pins the canonical forms: digests are kept by clients, so a form never changes.
func TestCanonical(t *testing.T) {
	tests := []struct {
		format pb.Format
		text   string
		want   string
	}{
		{jsonFormat, `{"b":1,"a":[true,false,null]}`, `{"a":[true,false,null],"b":1e0}`},
		{jsonFormat, ` { "a" : { } , "b" : [ ] } `, `{"a":{},"b":[]}`},
		{jsonFormat, `[0,-0,0.0,0e9,1,1.0,10e-1,1200,0.0012,-12.50]`, `[0e0,0e0,0e0,0e0,1e0,1e0,1e0,12e2,12e-4,-125e-1]`},
		{jsonFormat, `123456789012345678901234567890`, `12345678901234567890123456789e1`},
		{jsonFormat, `"a\u0062\n\"\\\/ö\ud83d\ude00"`, `"ab\u000a\u0022\u005c/ö😀"`},
		{yamlFormat, "b: 1\na: [true, null, ~, x]\n", `[{"a":[true,null,null,"x"],"b":1}]`},
		{yamlFormat, "", `[]`},
		{yamlFormat, "---\na: 1\n---\nb: 2\n", `[{"a":1},{"b":2}]`},
		{yamlFormat, "[1, 0x10, 0o17, 1_000, 1.0, 1e3, .inf, -.Inf, .nan, -0.0]", `[[1,16,15,1000,f1e+00,f1e+03,f+Inf,f-Inf,fnan,f0e+00]]`},
		{yamlFormat, "[yes, \"1\", '1', 1]", `[["yes","1","1",1]]`},
		{yamlFormat, "a: &x {k: 1}\nb: *x\n", `[{"a":{"k":1},"b":{"k":1}}]`},
		{yamlFormat, "a: &x {k: 1, l: 2}\nb: {<<: *x, k: 3}\n", `[{"a":{"k":1,"l":2},"b":{"k":3,"l":2}}]`},
		{yamlFormat, "a: {<<: [{k: 1}, {k: 2, l: 3}]}", `[{"a":{"k":1,"l":3}}]`},
		{yamlFormat, "2001-12-14T21:59:43.10-05:00", `[timestamp"2001-12-15T02:59:43.1Z"]`},
		{yamlFormat, "2001-12-14", `[timestamp"2001-12-14T00:00:00Z"]`},
		{yamlFormat, "!circle {r: 3}", `[!circle{"r":3}]`},
		{yamlFormat, "!color red", `[!color"red"]`},
		{yamlFormat, "!!binary aGk=", `[!!binary"hi"]`},
		{yamlFormat, "{1: a, \"1\": b, [x]: c}", `[{"1":"b",1:"a",["x"]:"c"}]`},
		{yamlFormat, "a: !!str 1\n", `[{"a":"1"}]`},
		{tomlFormat, "b = 1\na = [1.0, 'x', true]\n", `{"a":[f1e+00,"x",true],"b":1}`},
		{tomlFormat, "[t.u]\nx = 0x10\n[[l]]\ny = 1\n[[l]]\n", `{"l":[{"y":1},{}],"t":{"u":{"x":16}}}`},
		{tomlFormat, "t.u.x = 16\nl = [{y = 1}, {}]", `{"l":[{"y":1},{}],"t":{"u":{"x":16}}}`},
		{tomlFormat, "a = 1979-05-27T00:32:00-07:00", `{"a":time"1979-05-27T07:32:00Z"}`},
		{tomlFormat, "a = 1979-05-27T07:32:00\nb = 1979-05-27\nc = 07:32:00", `{"a":localdatetime"1979-05-27T07:32:00","b":localdate"1979-05-27","c":localtime"07:32:00"}`},
		{tomlFormat, "a = \"\"\"x\ny\"\"\"", `{"a":"x\u000ay"}`},
		{tomlFormat, "", `{}`},
	}
	for _, tt := range tests {
		t.Run(tt.text, func(t *testing.T) {
			if got := canonical(t, tt.format, tt.text); got != tt.want {
				t.Errorf("%s %q\ngot  %s\nwant %s", FormatName(tt.format), tt.text, got, tt.want)
			}
		})
	}
}

func TestDigest_TextIsItsSum(t *testing.T) {
	sum := sha256.Sum256([]byte("hello\n"))
	for _, f := range []pb.Format{textFormat, pb.Format_FORMAT_UNSPECIFIED} {
		if got, err := Digest(f, []byte("hello\n")); err != nil || got != hex.EncodeToString(sum[:]) {
			t.Errorf("%v: %s, %v", f, got, err)
		}
	}
}

func TestDigest_Refuses(t *testing.T) {
	deep := func(open, inner, end string, n int) string {
		return strings.Repeat(open, n) + inner + strings.Repeat(end, n)
	}
	// Nine levels of nine aliases: a billion laughs.
	laughs := "a: &a [x,x,x,x,x,x,x,x,x]\n"
	for c := 'b'; c <= 'i'; c++ {
		laughs += fmt.Sprintf("%c: &%c [%s*%c]\n", c, c, strings.Repeat(fmt.Sprintf("*%c,", c-1), 8), c-1)
	}
	merges := "a: &a {x: 1}\n"
	for c := 'b'; c <= 'i'; c++ {
		merges += fmt.Sprintf("%c: &%c {<<: [%s*%c]}\n", c, c, strings.Repeat(fmt.Sprintf("*%c,", c-1), 20), c-1)
	}
	lists := "a: &a []\n"
	for c := 'b'; c <= 'i'; c++ {
		lists += fmt.Sprintf("%c: &%c [%s*%c]\n", c, c, strings.Repeat(fmt.Sprintf("*%c,", c-1), 20), c-1)
	}
	// Merging goes through lists without a value for each: it must cost too.
	listMerges := strings.Join(strings.SplitAfter(lists, "\n")[:4], "") + "z: [" + strings.Repeat("{<<: *d},", 100) + "]\n"
	tests := []struct {
		name   string
		format pb.Format
		text   string
		want   string
	}{
		{"format", 9, "", "9 is not a format (use json, yaml, toml or text)"},
		{"not UTF-8", textFormat, "ok\nö\xff", "is not valid UTF-8: line 2, column 2"},
		{"not UTF-8 in JSON", jsonFormat, "\"\xff\"", "is not valid UTF-8: line 1, column 2"},
		{"empty JSON", jsonFormat, "", "json: line 1, column 1: unexpected end"},
		{"JSON comma", jsonFormat, "{\n \"a\": 1,\n}", "json: line 3, column 1: invalid character '}'"},
		{"JSON tail", jsonFormat, "{} {}", "json: line 1, column 4"},
		{"JSON number", jsonFormat, "[01]", "line 1, column 3"},
		{"JSON twice", jsonFormat, "{\"a\":1,\n\"\\u0061\":2}", `line 2, column 9: the name "a" is there twice`},
		{"JSON half pair", jsonFormat, `["\ud800"]`, "line 1, column 3: half a surrogate pair"},
		{"JSON second half", jsonFormat, `["\\\udc00"]`, "line 1, column 5: half a surrogate pair"},
		{"JSON two first halves", jsonFormat, `["\ud800\ud800"]`, "half a surrogate pair"},
		{"JSON exponent", jsonFormat, "1e99999999", "the exponent of a number is beyond"},
		{"JSON long exponent", jsonFormat, "1e" + strings.Repeat("9", 100000), "the exponent of a number is beyond"},
		{"JSON deep", jsonFormat, deep("[", "", "]", 101), "line 1, column 102: nested deeper than 100"},
		{"JSON very deep", jsonFormat, deep("[", "", "]", 500000), "exceeded max depth"},
		{"YAML", yamlFormat, "a: 1\nb: [\n", "yaml: line 2"},
		{"YAML first line", yamlFormat, "a: b: c", "yaml: line 1"},
		{"YAML tab", yamlFormat, "a:\n\t- b", "yaml: line 2"},
		{"YAML twice", yamlFormat, "a: 1\n\"a\": 2\n", `line 2, column 1: the key "a" is there twice`},
		{"YAML tag", yamlFormat, "x:\n  a: !!int x", `line 2, column 6: "x" is not a int`},
		{"YAML unknown alias", yamlFormat, "a: *b", "unknown anchor"},
		{"YAML of itself", yamlFormat, "a: &a [*a]", "alias of itself"},
		{"YAML of itself twice", yamlFormat, "a: &a [*a, *a]", "alias of itself"},
		{"YAML merges itself", yamlFormat, "a: &a {<<: *a}", "alias of itself"},
		{"YAML merge of a list", yamlFormat, "a: {<<: 1}", "only maps can be merged"},
		{"YAML laughs", yamlFormat, laughs, "its aliases make it too large"},
		{"YAML merge laughs", yamlFormat, merges, "its aliases make it too large"},
		{"YAML empty laughs", yamlFormat, lists, "its aliases make it too large"},
		{"YAML merges of lists", yamlFormat, listMerges, "its aliases make it too large"},
		{"YAML long laugh", yamlFormat, "a: &a " + strings.Repeat("x", 100000) + "\nb: [" + strings.Repeat("*a,", 100) + "]", "its aliases make it too large"},
		{"YAML deep", yamlFormat, deep("[", "", "]", 101), "nested deeper than 100"},
		{"YAML very deep", yamlFormat, deep("[", "", "]", 500000), "exceeded max depth"},
		{"YAML deep block", yamlFormat, deep("- ", "x", "", 20000), "exceeded max depth"},
		{"TOML", tomlFormat, "a = 1\nb = \n", "toml: line 2, column 5"},
		{"TOML twice", tomlFormat, "a = 1\na = 2\n", "toml: line 2"},
		{"TOML deep", tomlFormat, "a = " + deep("[", "", "]", 101), "nested deeper than 100"},
		{"TOML very deep", tomlFormat, "a = " + deep("[", "", "]", 500000), "nested deeper than 100"},
		{"TOML deep tables", tomlFormat, "a = " + deep("{a=", "1", "}", 300000), "nested deeper than 100"},
		{"TOML deep key", tomlFormat, strings.Repeat("a.", 200000) + "a = 1", "nested deeper than 100"},
		{"TOML deep quoted key", tomlFormat, strings.Repeat("'a'.", 200000) + "a = 1", "nested deeper than 100"},
		{"TOML deep header", tomlFormat, "[" + strings.Repeat("a.", 200000) + "a]", "nested deeper than 100"},
		{"TOML deep after a string", tomlFormat, "b = \"\"\"x\\\"\"\"\"\"\na = " + deep("[", "", "]", 500000), "nested deeper than 100"},
		{"TOML deep after a broken string", tomlFormat, "b = \"x\na = " + deep("[", "", "]", 500000), "nested deeper than 100"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			began := time.Now()
			_, err := Digest(tt.format, []byte(tt.text))
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Fatalf("error %.300v\nwant %q", err, tt.want)
			}
			field := "value"
			if tt.format == 9 {
				field = "format"
			}
			if f, _ := fault.As(err); f.Kind != fault.Invalid || f.Field != field {
				t.Errorf("kind %v of field %q", f.Kind, f.Field)
			}
			if took := time.Since(began); took > 5*time.Second {
				t.Errorf("took %v", took)
			}
		})
	}
}

func TestTOML_ManyDotsAreNotDepth(t *testing.T) {
	text := "a = [" + strings.Repeat("1.5, ", 1000) + "]\nb = \"" + strings.Repeat("[.", 1000) + "\" # " + strings.Repeat("[.", 1000) +
		"\nc = '''" + strings.Repeat("[", 1000) + "'''''\nd = '" + strings.Repeat("{", 1000) + "'\n"
	if _, err := Digest(tomlFormat, []byte(text)); err != nil {
		t.Error(err)
	}
}

// TestDigest_SameMeaning: what only differs in spelling has the same digest; what differs in meaning has another.
func TestDigest_SameMeaning(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		v := drawValue(t, 3)
		for _, x := range []struct {
			format pb.Format
			write  func(*rapid.T, any) string
		}{{jsonFormat, spellJSON}, {yamlFormat, spellYAML}} {
			format, write := x.format, x.write
			a, b := write(t, v), write(t, v)
			da, errA := Digest(format, []byte(a))
			db, errB := Digest(format, []byte(b))
			if errA != nil || errB != nil {
				t.Fatalf("%v %v\n%s\n%s", errA, errB, a, b)
			}
			if da != db {
				t.Fatalf("different digests of\n%s\n%s", a, b)
			}
			other := write(t, []any{v, "more"})
			if dc, _ := Digest(format, []byte(other)); dc == da {
				t.Fatalf("the same digest of\n%s\n%s", a, other)
			}
		}
	})
}

func drawValue(t *rapid.T, depth int) any {
	most := 6
	if depth == 0 {
		most = 4
	}
	switch rapid.IntRange(0, most).Draw(t, "kind") {
	case 0:
		return nil
	case 1:
		return rapid.Bool().Draw(t, "bool")
	case 2:
		return rapid.IntRange(-1000000, 1000000).Draw(t, "int")
	case 3, 4:
		return rapid.StringMatching(`[ -~äöü\n]{0,8}`).Draw(t, "string")
	case 5:
		list := []any{}
		for range rapid.IntRange(0, 3).Draw(t, "items") {
			list = append(list, drawValue(t, depth-1))
		}
		return list
	default:
		m := map[string]any{}
		for range rapid.IntRange(0, 3).Draw(t, "fields") {
			m[rapid.StringMatching(`[a-z]{1,3}`).Draw(t, "key")] = drawValue(t, depth-1)
		}
		return m
	}
}

// spellJSON writes a value as JSON with random white space, order of names, escapes and forms of numbers.
func spellJSON(t *rapid.T, v any) string {
	space := func() string { return rapid.SampledFrom([]string{"", " ", "\n", "\t "}).Draw(t, "space") }
	switch v := v.(type) {
	case int:
		forms := []string{fmt.Sprintf("%d", v), fmt.Sprintf("%d.0", v), fmt.Sprintf("%de+0", v)}
		if v != 0 {
			forms = append(forms, fmt.Sprintf("%d0e-1", v))
		}
		return rapid.SampledFrom(forms).Draw(t, "number")
	case string:
		var b strings.Builder
		b.WriteByte('"')
		for _, r := range v {
			if r == '"' || r == '\\' || r < ' ' || rapid.Bool().Draw(t, "escape") {
				fmt.Fprintf(&b, `\u%04x`, r)
			} else {
				b.WriteRune(r)
			}
		}
		return b.String() + `"`
	case []any:
		parts := []string{}
		for _, x := range v {
			parts = append(parts, space()+spellJSON(t, x)+space())
		}
		return "[" + strings.Join(parts, ",") + space() + "]"
	case map[string]any:
		names := sortedKeys(v)
		if rapid.Bool().Draw(t, "reverse") {
			names = reversed(names)
		}
		parts := []string{}
		for _, name := range names {
			parts = append(parts, space()+spellJSON(t, name)+space()+":"+space()+spellJSON(t, v[name]))
		}
		return "{" + strings.Join(parts, ",") + space() + "}"
	case nil:
		return "null"
	default:
		return fmt.Sprint(v)
	}
}

// spellYAML writes a value as YAML in flow style, with anchors here and there.
func spellYAML(t *rapid.T, v any) string {
	anchor := ""
	if rapid.IntRange(0, 4).Draw(t, "anchor") == 0 {
		anchor = fmt.Sprintf("&a%d ", rapid.IntRange(0, 9).Draw(t, "name"))
	}
	switch v := v.(type) {
	case int:
		forms := []string{fmt.Sprintf("%d", v), fmt.Sprintf("!!int %d", v)}
		if v >= 0 {
			forms = append(forms, fmt.Sprintf("0x%x", v), fmt.Sprintf("0b%b", v))
		}
		return anchor + rapid.SampledFrom(forms).Draw(t, "number")
	case string:
		return anchor + spellJSON(t, v)
	case []any:
		parts := []string{}
		for _, x := range v {
			parts = append(parts, spellYAML(t, x))
		}
		return anchor + "[" + strings.Join(parts, ", ") + "]"
	case map[string]any:
		names := sortedKeys(v)
		if rapid.Bool().Draw(t, "reverse") {
			names = reversed(names)
		}
		parts := []string{}
		for _, name := range names {
			parts = append(parts, `"`+name+`": `+spellYAML(t, v[name]))
		}
		return anchor + "{" + strings.Join(parts, ", ") + "}"
	case nil:
		return anchor + rapid.SampledFrom([]string{"null", "~", "Null"}).Draw(t, "null")
	case bool:
		s := fmt.Sprint(v)
		return anchor + rapid.SampledFrom([]string{s, strings.ToUpper(s)}).Draw(t, "bool")
	default:
		return anchor + fmt.Sprint(v)
	}
}

func reversed(in []string) []string {
	out := []string{}
	for i := len(in) - 1; i >= 0; i-- {
		out = append(out, in[i])
	}
	return out
}

func TestFloatText(t *testing.T) {
	if floatText(math.Copysign(0, -1)) != floatText(0) {
		t.Error("-0 and 0 differ")
	}
	if floatText(0.1) == floatText(0.1000000001) {
		t.Error("different floats are the same")
	}
}

func FuzzDigest(f *testing.F) {
	for _, text := range []string{
		"", "{}", `{"a":[1,2.5e3,"\u00e4"]}`, "a: &x [1]\nb: *x\n", "a = 1\n[t]\nx = 'y'\n", "- |\n  text\n- !!binary aGk=\n",
		"<<: {a: 1}", "a = 1979-05-27T07:32:00Z", "? a\n: b\n", "%YAML 1.2\n---\n...\n",
	} {
		for format := range pb.Format_name {
			f.Add(format, []byte(text))
		}
	}
	f.Fuzz(func(t *testing.T, format int32, value []byte) {
		a, err := Digest(pb.Format(format), value)
		if err != nil {
			if !fault.Is(err, fault.Invalid) {
				t.Fatalf("%v: %v", fault.KindOf(err), err)
			}
			if strings.Contains(err.Error(), "the parser gave up") {
				t.Fatalf("a parser panicked: %v", err)
			}
			return
		}
		if b, _ := Digest(pb.Format(format), value); a != b {
			t.Fatal("two digests of one value")
		}
	})
}
