package config

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"supercluster/internal/fault"
)

var update = flag.Bool("update", false, "rewrite golden files")

func golden(t *testing.T, path string, got []byte) {
	t.Helper()
	if *update {
		if err := os.WriteFile(path, got, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if string(got) != string(want) {
		t.Errorf("%s differs (run with -update to rewrite):\n%s", path, got)
	}
}

func write(t *testing.T, name, content string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestLoad_ParsePrintParse(t *testing.T) {
	s, _, err := Load(Sources{File: "testdata/full.yaml"})
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Check(); err != nil {
		t.Fatal(err)
	}
	printed, err := s.Print()
	if err != nil {
		t.Fatal(err)
	}
	golden(t, "testdata/full.printed.yaml", printed)
	again, _, err := Load(Sources{File: "testdata/full.printed.yaml"})
	if err != nil {
		t.Fatal(err)
	}
	if !reflect.DeepEqual(s, again) {
		t.Errorf("what was printed reads as\n%+v\nwant\n%+v", again, s)
	}
}

// TestLoad_AnyTextSurvivesPrinting prints values that look like other YAML types.
func TestLoad_AnyTextSurvivesPrinting(t *testing.T) {
	dir := t.TempDir()
	rapid.Check(t, func(t *rapid.T) {
		word := rapid.OneOf(rapid.SampledFrom([]string{"true", "null", "0x1", "1e3", "~", "- a", "a: b", "#c", "", "'", "\"", "é", "12:30"}), rapid.StringMatching(`[ -~]{0,12}`))
		s := Default()
		s.Region, s.DataDir = word.Draw(t, "region"), word.Draw(t, "dir")
		s.Operators = rapid.SliceOfN(word, 1, 3).Draw(t, "operators")
		printed, err := s.Print()
		if err != nil {
			t.Fatal(err)
		}
		path := filepath.Join(dir, "c.yaml")
		if err := os.WriteFile(path, printed, 0o600); err != nil {
			t.Fatal(err)
		}
		again, _, err := Load(Sources{File: path})
		if err != nil {
			t.Fatalf("%v in\n%s", err, printed)
		}
		if again.Region != s.Region || again.DataDir != s.DataDir || !reflect.DeepEqual(again.Operators, s.Operators) {
			t.Fatalf("%+v became %+v through\n%s", s, again, printed)
		}
	})
}

func TestLoad_OrderOfSources(t *testing.T) {
	file := write(t, "c.yaml", "region: file\nnode: file\ndns: {ttl: 1s}\nlog: {level: warn}\noperators: [file]\n")
	s, warnings, err := Load(Sources{
		File: file,
		Env: []string{
			"SUPERCLUSTER_NODE=env", "SUPERCLUSTER_DNS_TTL=2s", "SUPERCLUSTER_OPERATORS=a, b", "SUPERCLUSTER_MEMBERS=env=h:1",
			"SUPERCLUSTER_SERVER=elsewhere:1", "SUPERCLUSTER_LISTEN_HTP=x", "SUPERCLUSTER_SERVICE_PORT_WEB=80", "OTHER=1",
		},
		Flags: map[string][]string{"dns-ttl": {"3s"}, "member": {"flag=h:1", "two=h:2"}},
	})
	if err != nil {
		t.Fatal(err)
	}
	got := fmt.Sprint(s.Region, s.Node, s.DNS.TTL, s.Log.Level, s.Log.Format, s.Operators, s.Members)
	if want := "fileenv3swarntext[a b]map[flag:h:1 two:h:2]"; strings.ReplaceAll(got, " ", "") != strings.ReplaceAll(want, " ", "") {
		t.Errorf("got %s, want %s", got, want)
	}
	if len(warnings) != 1 || !strings.Contains(warnings[0], "did you mean SUPERCLUSTER_LISTEN_HTTP") {
		t.Errorf("warnings = %q, want one about the variable that is nearly a key", warnings)
	}
}

// A variable that no key is like gets no warning, however much of it is the prefix that all share.
func TestLoad_EnvWarnings(t *testing.T) {
	for name, near := range map[string]string{
		"SUPERCLUSTER_FOO": "", "SUPERCLUSTER_PORT": "", "SUPERCLUSTER_SERVICE_HOST": "", "SUPERCLUSTER_PORT_8500_TCP": "", "SUPERCLUSTER_": "",
		"SUPERCLUSTER_REGOIN": "SUPERCLUSTER_REGION", "SUPERCLUSTER_LISTEN_HTTPS": "SUPERCLUSTER_LISTEN_HTTP", "SUPERCLUSTER_NOD": "SUPERCLUSTER_NODE",
	} {
		_, warnings, err := Load(Sources{Env: []string{name + "=1"}})
		if err != nil {
			t.Fatal(err)
		}
		var want []string
		if near != "" {
			want = []string{name + " is not read; did you mean " + near + "?"}
		}
		if !slices.Equal(warnings, want) {
			t.Errorf("%s: warnings %q, want %q", name, warnings, want)
		}
	}
}

func TestLoad_BadFiles(t *testing.T) {
	tests := []struct{ name, content, want string }{
		{"c.yaml", "region: a\nnoode: n1\n", `c.yaml:2: unknown key "noode"; did you mean "node"?`},
		{"c.yaml", "listen:\n  htpt: 1\n", `c.yaml:2: unknown key "listen.htpt"; did you mean "listen.http"?`},
		{"c.yaml", "tsl: {}\n", `c.yaml:1: unknown key "tsl"; did you mean "tls"?`},
		{"c.yaml", "quite-another-thing: 1\n", "c.yaml:1: unknown key \"quite-another-thing\"; `supercluster server config` prints all keys"},
		{"c.yaml", "a: 1\nregion: b\nb: 2\n", "c.yaml:3: unknown key \"b\""},
		{"c.yaml", "node: a\nnode: b\n", "c.yaml:2: node stands there twice"},
		{"c.yaml", "node: [a]\n", "c.yaml:1: node must be text"},
		{"c.yaml", "operators: ops\n", "c.yaml:1: operators must be a list"},
		{"c.yaml", "operators: [{a: b}]\n", "c.yaml:1: operators: an item must be text"},
		{"c.yaml", "members: [a]\n", "c.yaml:1: members must be a mapping"},
		{"c.yaml", "listen: here\n", "c.yaml:1: listen must hold keys and values"},
		{"c.yaml", "- a\n", "c.yaml:1: the file must hold keys and values"},
		{"c.yaml", "dns:\n  rate: many\n", `c.yaml:2: dns.rate: "many" is not a whole number`},
		{"c.yaml", "dns: {ttl: 5}\n", `c.yaml:1: dns.ttl: "5" is not a duration such as 5s`},
		{"c.yaml", "health: {allow-link-local: perhaps}\n", `"perhaps" is neither true nor false`},
		{"c.yaml", "node: \"a\n", "c.yaml: line"},
		{"c.yaml", "a: b: c\n", "c.yaml: mapping values are not allowed"},
		{"c.yaml", "node: a\n---\nnode: b\n", "c.yaml: holds more than one document"},
		{"c.json", "{\n  \"node\": \"a\",\n}\n", "c.json:3: invalid character '}'"},
		{"c.json", "{\n\t\"nod\": \"a\"\n}\n", `c.json:2: unknown key "nod"; did you mean "node"?`},
	}
	for _, tt := range tests {
		path := write(t, tt.name, tt.content)
		_, _, err := Load(Sources{File: path})
		if !fault.Is(err, fault.Invalid) || !strings.Contains(strings.ReplaceAll(err.Error(), filepath.Dir(path)+"/", ""), tt.want) {
			t.Errorf("%q: error = %v, want %q", tt.content, err, tt.want)
		}
	}
	if _, _, err := Load(Sources{File: filepath.Join(t.TempDir(), "none.yaml")}); !fault.Is(err, fault.Invalid) {
		t.Errorf("a missing file: error = %v", err)
	}
}

func TestLoad_GoodFiles(t *testing.T) {
	for name, content := range map[string]string{
		"c.json":      "{\n\t\"node\": \"n1\",\n\t\"members\": {\"n1\": \"127.0.0.1:1\"}\n}\n",
		"c.yaml":      "node: n1\nmembers: {n1: \"127.0.0.1:1\"}\n",
		"nulls.yaml":  "node: n1\nmembers: {n1: \"127.0.0.1:1\"}\nlisten: {http: , grpc: }\ntls:\nregion:\n",
		"noname.conf": "{\"node\": \"n1\",\t\"members\": {\"n1\": \"127.0.0.1:1\"}}",
	} {
		s, _, err := Load(Sources{File: write(t, name, content)})
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if s.Node != "n1" || s.Members["n1"] != "127.0.0.1:1" || s.Region != "dc1" || s.Listen.HTTP != "127.0.0.1:8500" {
			t.Errorf("%s: read as %+v", name, s)
		}
	}
	for _, empty := range []string{"", "# nothing\n", "---\n"} {
		if _, _, err := Load(Sources{File: write(t, "c.yaml", empty)}); err != nil {
			t.Errorf("an empty file %q: %v", empty, err)
		}
	}
}

func TestLoad_BadEnvironmentAndFlags(t *testing.T) {
	if _, _, err := Load(Sources{Env: []string{"SUPERCLUSTER_DNS_RATE=x"}}); err == nil || !strings.Contains(err.Error(), "SUPERCLUSTER_DNS_RATE: \"x\" is not") {
		t.Errorf("error = %v", err)
	}
	if _, _, err := Load(Sources{Flags: map[string][]string{"member": {"n1"}}}); err == nil || !strings.Contains(err.Error(), "--member: \"n1\" is not NAME=HOST:PORT") {
		t.Errorf("error = %v", err)
	}
	if _, _, err := Load(Sources{Flags: map[string][]string{"member": {"n1=a:1", "n1=a:2"}}}); err == nil || !strings.Contains(err.Error(), "twice") {
		t.Errorf("error = %v", err)
	}
}

// valid is a configuration that passes.
func valid() Server {
	s := Default()
	s.Node, s.DataDir, s.Members = "n1", "data", map[string]string{"n1": "127.0.0.1:8300"}
	return s
}

func TestCheck(t *testing.T) {
	tests := []struct {
		name   string
		change func(s *Server)
		want   string // "" passes
	}{
		{"as it is", func(*Server) {}, ""},
		{"no node", func(s *Server) { s.Node = "" }, "node: is missing"},
		{"bad node", func(s *Server) { s.Node = "N 1" }, "is not a DNS label"},
		{"bad region", func(s *Server) { s.Region = "-" }, "region: \"-\" is not a DNS label"},
		{"a region called as DNS calls all", func(s *Server) { s.Region = "global" }, "region: \"global\" is a reserved word of DNS names"},
		{"no folder", func(s *Server) { s.DataDir = "" }, "data-dir: is missing"},
		{"no members", func(s *Server) { s.Members = nil }, "members: is missing: name every node"},
		{"a stranger", func(s *Server) { s.Node = "n9" }, `members: does not name this node, "n9"`},
		{"members at one address", func(s *Server) { s.Members["n2"] = s.Members["n1"] }, "n1 and n2 have the same address"},
		{"port 70000", func(s *Server) { s.Listen.HTTP = "127.0.0.1:70000" }, "listen.http: port 70000 is not between 1 and 65535"},
		{"port 0 to listen", func(s *Server) { s.Listen.HTTP = "127.0.0.1:0"; s.Advertise.HTTP = "a:1" }, ""},
		{"port 0 of a member", func(s *Server) { s.Members["n1"] = "127.0.0.1:0" }, "members.n1: port 0"},
		{"no port", func(s *Server) { s.Listen.GRPC = "127.0.0.1" }, `listen.grpc: "127.0.0.1" is not host:port`},
		{"one port twice", func(s *Server) { s.Listen.GRPC = s.Listen.HTTP }, "is the address of listen.http too"},
		{"admin from outside", func(s *Server) { s.Listen.Admin = "0.0.0.0:8505" }, "listen.admin: 0.0.0.0:8505 is not a loopback address"},
		{"HTTP from outside without TLS", func(s *Server) { s.Listen.HTTP = "0.0.0.0:8500" }, "listen.http: 0.0.0.0:8500 is reachable from outside"},
		{"all addresses without TLS", func(s *Server) { s.Listen.GRPC = ":8502" }, "listen.grpc: :8502 is reachable from outside"},
		{"DNS and probe from outside", func(s *Server) { s.Listen.DNS, s.Listen.Probe = "0.0.0.0:53", "0.0.0.0:8303" }, ""},
		{"federation from outside", func(s *Server) { s.Listen.Federation, s.Advertise.Federation = "0.0.0.0:8302", "c:8302" }, ""},
		{"Raft from outside without TLS", func(s *Server) { s.Listen.Raft = "0.0.0.0:8300" }, "listen.raft: 0.0.0.0:8300 is reachable from outside"},
		{"IPv6 loopback", func(s *Server) { s.Listen.HTTP = "[::1]:8500" }, ""},
		{"an identity by its folder", func(s *Server) { s.Identity.Dir = "d" }, ""},
		{"an identity by its files", func(s *Server) { s.Identity = Identity{"", "r", "f", "k", "c"} }, ""},
		{"a part of an identity", func(s *Server) { s.Identity = Identity{"", "r", "f", "", "c"} }, "identity.ca-key: is missing: identity.region, "},
		{"a folder and a file", func(s *Server) { s.Identity = Identity{Dir: "d", FeedKey: "f"} }, "identity.feed-key: stands beside identity.dir"},
		{"half of TLS", func(s *Server) { s.TLS.Cert = "c"; s.TLS.Key = "k" }, "tls.client-ca: is missing"},
		{"unspecified to advertise", func(s *Server) {
			s.TLS, s.Listen.GRPC = TLS{"c", "k", "a"}, "0.0.0.0:8502"
		}, "advertise.grpc: 0.0.0.0:8502 is an address that nobody can connect to"},
		{"log level", func(s *Server) { s.Log.Level = "loud" }, "log.level: \"loud\" is not one of"},
		{"TTL", func(s *Server) { s.DNS.TTL = 2 * 3600e9 }, "dns.ttl: 2h0m0s is not between"},
		{"domain", func(s *Server) { s.DNS.Domain = "" }, "dns.domain: is missing"},
		{"limit", func(s *Server) { s.Limits.Watches = 0 }, "limits.watches: 0 is less than 1"},
		{"collector", func(s *Server) { s.OTLP.Endpoint = "127.0.0.1:4317" }, "otlp.endpoint"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			s := valid()
			tt.change(&s)
			err := s.Check()
			if tt.want == "" && err != nil || tt.want != "" && (err == nil || !strings.Contains(err.Error(), tt.want)) {
				t.Errorf("error = %v, want %q", err, tt.want)
			}
		})
	}
}

func TestCheck_CompletesWhatDependsOnOtherKeys(t *testing.T) {
	s := valid()
	if err := s.Check(); err != nil {
		t.Fatal(err)
	}
	if s.Listen.Raft != "127.0.0.1:8300" || s.Advertise.GRPC != "127.0.0.1:8502" || s.Advertise.HTTP != "127.0.0.1:8500" {
		t.Errorf("completed to %+v, %+v", s.Listen, s.Advertise)
	}
}

// TestEffective: what is printed is what a start uses, and is a configuration that gives itself.
func TestEffective(t *testing.T) {
	for _, tt := range []struct {
		name   string
		change func(s *Server)
		raft   string
		want   Advertise
	}{
		{"nothing set", func(*Server) {}, "127.0.0.1:8300", Advertise{"127.0.0.1:8500", "127.0.0.1:8502", "127.0.0.1:8302", "127.0.0.1:8303"}},
		{"all set", func(s *Server) {
			s.Listen.Raft, s.Advertise = "127.0.0.2:1", Advertise{"a:1", "b:2", "c:3", "d:4"}
		}, "127.0.0.2:1", Advertise{"a:1", "b:2", "c:3", "d:4"}},
		{"a probe listener everywhere", func(s *Server) {
			s.Listen.Probe, s.Advertise.Federation = "0.0.0.0:9", "c:3"
		}, "127.0.0.1:8300", Advertise{"127.0.0.1:8500", "127.0.0.1:8502", "c:3", "c:9"}},
		{"not complete", func(s *Server) { *s = Server{} }, "", Advertise{}},
	} {
		s := valid()
		tt.change(&s)
		got := s.Effective()
		if got.Listen.Raft != tt.raft || got.Advertise != tt.want {
			t.Errorf("%s: raft %q, %+v", tt.name, got.Listen.Raft, got.Advertise)
		}
		if again := got.Effective(); !reflect.DeepEqual(again, got) {
			t.Errorf("%s: once more it is %+v", tt.name, again)
		}
	}
}

func TestFields_NamesAreUnique(t *testing.T) {
	seen := map[string]bool{}
	for _, f := range Fields() {
		for _, name := range []string{f.Key, "--" + f.Flag, EnvName(f.Key)} {
			if seen[name] {
				t.Errorf("%s is used twice", name)
			}
			seen[name] = true
		}
		if !strings.HasSuffix(f.Doc, ".") {
			t.Errorf("%s: the sentence %q has no end", f.Key, f.Doc)
		}
	}
}

// TestDocs keeps the table of docs/configuration.md equal to the keys.
func TestDocs(t *testing.T) {
	const path, begin, end = "../../docs/configuration.md", "<!-- keys: begin -->\n", "<!-- keys: end -->\n"
	var table strings.Builder
	table.WriteString("| key | flag | environment | default | what |\n|---|---|---|---|---|\n")
	for _, f := range Fields() {
		value := f.Default()
		if value != "" {
			value = "`" + value + "`"
		}
		fmt.Fprintf(&table, "| `%s` | `--%s` | `%s` | %s | %s |\n", f.Key, f.Flag, EnvName(f.Key), value, f.Doc)
	}
	doc, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	before, rest, ok := strings.Cut(string(doc), begin)
	old, after, ok2 := strings.Cut(rest, end)
	if !ok || !ok2 {
		t.Fatalf("%s has no place for the table of keys", path)
	}
	if old == table.String() {
		return
	}
	if !*update {
		t.Fatalf("%s: the table of keys is old (run with -update to rewrite)", path)
	}
	if err := os.WriteFile(path, []byte(before+begin+table.String()+end+after), 0o600); err != nil {
		t.Fatal(err)
	}
}

func TestNearest(t *testing.T) {
	known := []string{"node", "region", "listen.http", "listen.grpc", "tls"}
	for name, want := range map[string]string{
		"nood": "node", "regoin": "region", "listen.htp": "listen.http", "tsl": "tls", "is": "", "zebra": "", "": "",
	} {
		if got := Nearest(name, known); got != want {
			t.Errorf("Nearest(%q) = %q, want %q", name, got, want)
		}
	}
	long := strings.Repeat("n", maxNear+1)
	if got := Nearest(long, []string{long}); got != "" {
		t.Errorf("a name of %d bytes was compared", len(long))
	}
}

func FuzzFile(f *testing.F) {
	seed, err := os.ReadFile("testdata/full.yaml")
	if err != nil {
		f.Fatal(err)
	}
	f.Add(seed)
	f.Add([]byte("{\"node\":\t1}"))
	f.Add([]byte("listen: &a\n  http: *a\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		s := Default()
		if err := readFile(&s, "f.yaml", data); err != nil {
			if !fault.Is(err, fault.Invalid) {
				t.Errorf("error = %v, want an invalid one", err)
			}
			return
		}
		_ = s.Check()
		if _, err := s.Print(); err != nil {
			t.Errorf("cannot print %+v: %v", s, err)
		}
	})
}
