package cli

import (
	"bytes"
	"strings"
	"testing"
	"time"

	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"

	pb "supercluster/api/gen/supercluster/v1"
	"supercluster/internal/fault"
)

func TestParseChecks(t *testing.T) {
	tests := []struct {
		specs []string
		want  string // the checks as JSON, one a line, or the error
	}{
		{[]string{"http:/healthz"}, `{"id":"http","type":"CHECK_TYPE_HTTP","path":"/healthz","interval":"2s","rise":1}`},
		{[]string{"http"}, `{"id":"http","type":"CHECK_TYPE_HTTP","path":"/","interval":"2s","rise":1}`},
		{[]string{"http://127.0.0.1:9001/a?b=c"}, `{"id":"http","type":"CHECK_TYPE_HTTP","path":"/a?b=c","port":9001,"interval":"2s","rise":1}`},
		{[]string{"http://10.0.0.1/"}, "checks go to the instance's own address, 127.0.0.1"},
		{[]string{"http:healthz"}, `the path "healthz" does not begin with /`},
		{[]string{"http://127.0.0.1:70000/"}, "is not between 1 and 65535"},
		{[]string{"tcp"}, `{"id":"tcp","type":"CHECK_TYPE_TCP","interval":"2s","rise":1}`},
		{[]string{"tcp:9002", "tcp:9003"}, `{"id":"tcp","type":"CHECK_TYPE_TCP","port":9002,"interval":"2s","rise":1}
{"id":"tcp-2","type":"CHECK_TYPE_TCP","port":9003,"interval":"2s","rise":1}`},
		{[]string{"tcp:0"}, "is not between 1 and 65535"},
		{[]string{"tcp:70000"}, "is not between 1 and 65535"},
		{[]string{"grpc"}, `{"id":"grpc","type":"CHECK_TYPE_GRPC","interval":"2s","rise":1}`},
		{[]string{"grpc:my.Service"}, `{"id":"grpc","type":"CHECK_TYPE_GRPC","path":"my.Service","interval":"2s","rise":1}`},
		{[]string{"ttl:15s"}, `{"id":"ttl","type":"CHECK_TYPE_TTL","ttl":"15s"}`},
		{[]string{"ttl"}, "is not a duration such as 15s"},
		{[]string{"icmp"}, "is not one of http, tcp, grpc, ttl"},
		{[]string{""}, "is not one of http, tcp, grpc, ttl"},
	}
	for _, tt := range tests {
		checks, err := parseChecks("127.0.0.1", tt.specs, checkOptions{interval: 2 * time.Second, rise: 1})
		if err != nil {
			if !fault.Is(err, fault.Invalid) || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("%q: error = %v, want %q", tt.specs, err, tt.want)
			}
			continue
		}
		var lines []string
		for _, c := range checks {
			lines = append(lines, compact(t, c))
		}
		if got := strings.Join(lines, "\n"); got != tt.want {
			t.Errorf("%q:\n%s\nwant\n%s", tt.specs, got, tt.want)
		}
	}
}

func compact(t *testing.T, m proto.Message) string {
	t.Helper()
	data, err := protojson.Marshal(m)
	if err != nil {
		t.Fatal(err)
	}
	return strings.ReplaceAll(string(data), " ", "")
}

func TestDocuments_Instance(t *testing.T) {
	const text = `service: web
address: 10.0.0.1
port: 80
weight: 0x10
tags: [1, true, v1]
metadata: {a: 1, b: yes}
checks:
  - &c {type: http, path: /, interval: 1m30s, timeout: 500ms}
  - *c
ports: {admin: 81}
draining: true
`
	docs, err := parseDocuments("f.yaml", []byte(text))
	if err != nil {
		t.Fatal(err)
	}
	var in pb.Instance
	if err := docs[0].message(&in); err != nil {
		t.Fatal(err)
	}
	check := `{"type":"CHECK_TYPE_HTTP","path":"/","interval":"90s","timeout":"0.500s"}`
	want := `{"service":"web","address":"10.0.0.1","port":80,"ports":{"admin":81},"weight":16,"tags":["1","true","v1"],` +
		`"metadata":{"a":"1","b":"yes"},"draining":true,"checks":[` + check + "," + check + "]}"
	if got := compact(t, &in); got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
}

func TestDocuments_Errors(t *testing.T) {
	tests := []struct{ text, want string }{
		{"port: many", `f:1: invalid value for uint32 field port: "many"`},
		{"port: 4294967296", "f:1: "},
		{"\nports: {admin: 81}\nportz: 1", `f:3: unknown field "portz"; did you mean "port"?`},
		{"checks: [{kind: x}]", `f:1: unknown field "kind"; check has id, type, path`},
		{"checks: [{type: x}]", `f:1: "x" is not one of http, tcp, grpc, ttl`},
		{"checks: [{type: ttl, ttl: [1]}]", `f:1: ttl must be one value`},
		{"checks: ttl", `f:1: checks must be a list`},
		{"checks: [ttl]", `f:1: Check must hold keys and values`},
		{"metadata: x", `f:1: metadata must hold keys and values`},
		{"service: a\nservice: b", "f:2: service stands there twice"},
		{"draining: perhaps", "f:1: "},
	}
	for _, tt := range tests {
		docs, err := parseDocuments("f", []byte(tt.text))
		if err == nil {
			err = docs[0].message(&pb.Instance{})
		}
		if !fault.Is(err, fault.Invalid) || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%q: error = %v, want %q", tt.text, err, tt.want)
		}
	}
}

func FuzzDocuments(f *testing.F) {
	f.Add([]byte("kind: instance\nservice: web\nchecks: [{type: http}]\n---\nkind: config\nvalue: x\n"))
	f.Add([]byte("{\n\t\"kind\": \"route\"\n}"))
	f.Add([]byte("a: &a [*a]"))
	f.Add([]byte("checks: &c [{type: ttl}, *c]"))
	f.Fuzz(func(t *testing.T, data []byte) {
		docs, err := parseDocuments("f", data)
		if err != nil {
			return
		}
		for _, d := range docs {
			if _, err := prepareOne(&client{}, d); err != nil && fault.KindOf(err) == fault.Internal {
				t.Errorf("%q: %v", data, err)
			}
			_ = d.message(&pb.TxnRequest{})
		}
	})
}

func TestTable(t *testing.T) {
	tb := table{header: []string{"NAME", "HEALTH", "X"}}
	tb.add("é", "passing", "1")
	tb.add("longer", "critical", "")
	tb.note("note")
	var plain, colored bytes.Buffer
	if err := tb.write(&plain, false); err != nil {
		t.Fatal(err)
	}
	if want := "NAME    HEALTH    X\né       passing   1\nlonger  critical\nnote\n"; plain.String() != want {
		t.Errorf("got\n%s\nwant\n%s", plain.String(), want)
	}
	if err := tb.write(&colored, true); err != nil {
		t.Fatal(err)
	}
	if want := "é       \x1b[32mpassing\x1b[0m   1\n"; !strings.Contains(colored.String(), want) {
		t.Errorf("colour: %q", colored.String())
	}
}

func TestColor_OnlyOnTerminals(t *testing.T) {
	a := App{Out: &bytes.Buffer{}, Getenv: func(string) string { return "" }}
	if a.isTerminal() {
		t.Error("a buffer is taken for a terminal")
	}
}

func TestExitCodes_ListEveryKind(t *testing.T) {
	text := exitCodes()
	for _, k := range fault.Kinds() {
		if !strings.Contains(text, k.String()) {
			t.Errorf("the help does not list %v", k)
		}
	}
}
