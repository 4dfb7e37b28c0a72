package server

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"

	"supercluster/internal/fault"
	"supercluster/registry/access"
)

// answer is what came back over HTTP.
type answer struct {
	status int
	header http.Header
	text   string
	json   map[string]any
}

// do sends one request. headers are "Name: value".
func (h *harness) do(t testing.TB, method, path, body string, headers ...string) answer {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, h.url+path, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	for _, line := range headers {
		name, value, _ := strings.Cut(line, ": ")
		if name == "Host" {
			req.Host = value
		}
		req.Header.Add(name, value)
	}
	resp, err := h.client.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	raw, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	a := answer{status: resp.StatusCode, header: resp.Header, text: string(raw)}
	if strings.HasPrefix(resp.Header.Get("Content-Type"), "application/json") && len(raw) > 0 {
		if err := json.Unmarshal(raw, &a.json); err != nil {
			t.Fatalf("%s: %v", raw, err)
		}
	}
	return a
}

// wantError checks the form of a failed answer.
func (a answer) wantError(t testing.TB, status int, kind fault.Kind, field string) {
	t.Helper()
	got, _ := a.json["field"].(string)
	if a.status != status || a.json["kind"] != kind.String() || got != field || a.json["request_id"] != a.header.Get("X-Request-Id") {
		t.Errorf("%d %s, want %d %s on %q with the request id %s", a.status, a.text, status, kind, field, a.header.Get("X-Request-Id"))
	}
	if msg, _ := a.json["message"].(string); msg == "" {
		t.Errorf("%s has no message", a.text)
	}
}

func config(value string) string {
	return fmt.Sprintf(`{"config":{"value":%q,"format":"FORMAT_JSON"}}`, base64.StdEncoding.EncodeToString([]byte(value)))
}

func TestHTTP_RegisterAndLookup(t *testing.T) {
	h := newHarness(t)
	reg := h.do(t, "POST", "/api/v1/instances", `{"instance":{"service":"web","address":"10.0.0.1","port":8080,"checks":[{"type":"CHECK_TYPE_TTL","ttl":"10s"}]}}`)
	if reg.status != 200 || reg.json["instance"].(map[string]any)["id"] != "10.0.0.1-8080" {
		t.Fatalf("%d %s", reg.status, reg.text)
	}
	look := h.do(t, "GET", "/api/v1/lookup/web?zone=a&read.consistency=CONSISTENCY_LINEARIZABLE", "")
	if look.status != 200 || len(look.json["excluded"].([]any)) != 1 {
		t.Errorf("%d %s", look.status, look.text)
	}
	// Defaults are shown: a script finds an empty list and not nothing.
	if _, ok := look.json["endpoints"].([]any); !ok {
		t.Errorf("no list of endpoints in %s", look.text)
	}
	list := h.do(t, "GET", "/api/v1/services?page_size=1", "")
	if list.status != 200 || list.json["next_page_token"] != "" {
		t.Errorf("%d %s", list.status, list.text)
	}
	if gone := h.do(t, "DELETE", "/api/v1/services/web/instances/10.0.0.1-8080?drain=0s", ""); gone.status != 200 {
		t.Errorf("%d %s", gone.status, gone.text)
	}
	h.do(t, "GET", "/api/v1/lookup/web", "").wantError(t, 404, fault.NotFound, "service")
}

func TestHTTP_ConfigNames(t *testing.T) {
	h := newHarness(t)
	for path, name := range map[string]string{
		"/api/v1/config/app/db":      "app/db",
		"/api/v1/config/app%2Fcache": "app/cache",
		"/api/v1/config/a%20b":       "a b",
		"/api/v1/config/%C3%A4":      "ä",
		"/api/v1/config/a.b":         "a.b",
	} {
		if a := h.do(t, "PUT", path, config(`{}`)); a.status != 200 {
			t.Fatalf("put %s: %d %s", path, a.status, a.text)
		}
		a := h.do(t, "GET", path, "")
		if a.status != 200 || a.json["config"].(map[string]any)["name"] != name {
			t.Errorf("get %s: %d %s, want the name %q", path, a.status, a.text, name)
		}
	}
	for _, path := range []string{"/api/v1/config/a/../b", "/api/v1/config/a%2F..%2Fb", "/api/v1/config/a%00b", "/api/v1/config/a//b"} {
		h.do(t, "PUT", path, config(`{}`)).wantError(t, 400, fault.Invalid, "config.name")
	}
}

func TestHTTP_ETag(t *testing.T) {
	h := newHarness(t)
	created := h.do(t, "PUT", "/api/v1/config/a", config(`{"n":1}`), "If-None-Match: *")
	tag := created.header.Get("ETag")
	if created.status != 200 || tag == "" || tag != fmt.Sprintf("%q", created.json["header"].(map[string]any)["revision"]) {
		t.Fatalf("%d %s, ETag %s", created.status, created.text, tag)
	}
	h.do(t, "PUT", "/api/v1/config/a", config(`{"n":2}`), "If-None-Match: *").wantError(t, 412, fault.Exists, "")

	got := h.do(t, "GET", "/api/v1/config/a", "")
	if got.header.Get("ETag") != tag {
		t.Errorf("ETag of the get %s, of the put %s", got.header.Get("ETag"), tag)
	}
	same := h.do(t, "GET", "/api/v1/config/a", "", "If-None-Match: "+tag)
	if same.status != http.StatusNotModified || same.text != "" || same.header.Get("ETag") != tag {
		t.Errorf("%d %q with ETag %s", same.status, same.text, same.header.Get("ETag"))
	}
	for _, list := range []string{"W/" + tag, `"9999", ` + tag, "*"} {
		if a := h.do(t, "GET", "/api/v1/config/a", "", "If-None-Match: "+list); a.status != http.StatusNotModified {
			t.Errorf("If-None-Match: %s gives %d", list, a.status)
		}
	}
	if a := h.do(t, "GET", "/api/v1/config/a", "", `If-None-Match: "9999"`); a.status != 200 || a.text == "" {
		t.Errorf("another tag gives %d %q", a.status, a.text)
	}
	h.do(t, "GET", "/api/v1/config/none", "", "If-None-Match: *").wantError(t, 404, fault.NotFound, "name")

	changed := h.do(t, "PUT", "/api/v1/config/a", config(`{"n":2}`), "If-Match: "+tag)
	if changed.status != 200 || changed.header.Get("ETag") == tag {
		t.Fatalf("%d %s", changed.status, changed.text)
	}
	late := h.do(t, "PUT", "/api/v1/config/a", config(`{"n":3}`), "If-Match: "+tag)
	late.wantError(t, 412, fault.Conflict, "")
	if fmt.Sprintf("%q", late.json["revision"]) != changed.header.Get("ETag") {
		t.Errorf("the conflict names revision %v, the entry is at %s", late.json["revision"], changed.header.Get("ETag"))
	}
	h.do(t, "DELETE", "/api/v1/config/a", "", "If-Match: "+tag).wantError(t, 412, fault.Conflict, "")
	h.do(t, "DELETE", "/api/v1/config/a", "", "If-Match: *").wantError(t, 400, fault.Invalid, "If-Match")
	h.do(t, "PUT", "/api/v1/config/a", `{"config":{},"expect_revision":"7"}`, "If-Match: "+tag).wantError(t, 400, fault.Invalid, "If-Match")
	h.do(t, "DELETE", "/api/v1/config/a", "", "If-None-Match: *").wantError(t, 400, fault.Invalid, "If-None-Match")
	if a := h.do(t, "DELETE", "/api/v1/config/a", "", "If-Match: "+changed.header.Get("ETag")); a.status != 200 {
		t.Errorf("%d %s", a.status, a.text)
	}
}

func TestHTTP_Head(t *testing.T) {
	h := newHarness(t)
	h.put(t, "a", "1")
	get := h.do(t, "GET", "/api/v1/config/a", "")
	head := h.do(t, "HEAD", "/api/v1/config/a", "")
	if head.status != 200 || head.text != "" || head.header.Get("ETag") != get.header.Get("ETag") ||
		head.header.Get("Content-Length") != fmt.Sprint(len(get.text)) {
		t.Errorf("%d %q %v, the get has %d bytes", head.status, head.text, head.header, len(get.text))
	}
	if a := h.do(t, "HEAD", "/api/v1/config/none", ""); a.status != 404 || a.text != "" {
		t.Errorf("%d %q", a.status, a.text)
	}
}

func TestHTTP_BadInput(t *testing.T) {
	h := newHarness(t)
	tests := []struct {
		name, method, path, body string
		status                   int
		kind                     fault.Kind
		field                    string
	}{
		{"malformed JSON", "PUT", "/api/v1/config/a", `{"config":`, 400, fault.Invalid, ""},
		{"unknown field", "PUT", "/api/v1/config/a", `{"confg":{}}`, 400, fault.Invalid, ""},
		{"unknown field inside", "PUT", "/api/v1/config/a", `{"config":{"vlue":""}}`, 400, fault.Invalid, ""},
		{"wrong type", "POST", "/api/v1/instances", `{"instance":{"port":"many"}}`, 400, fault.Invalid, ""},
		{"port 70000", "POST", "/api/v1/instances", `{"instance":{"service":"a","address":"10.0.0.1","port":70000}}`, 400, fault.Invalid, "instance.port"},
		{"negative port", "POST", "/api/v1/instances", `{"instance":{"port":-1}}`, 400, fault.Invalid, ""},
		{"unknown parameter", "GET", "/api/v1/services?tga=x", "", 400, fault.Invalid, "tga"},
		{"unknown parameter inside", "GET", "/api/v1/services?read.level=x", "", 400, fault.Invalid, "read.level"},
		{"page size", "GET", "/api/v1/services?page_size=6000", "", 400, fault.Invalid, "page_size"},
		{"bad JSON content", "PUT", "/api/v1/config/a", config(`{`), 400, fault.Invalid, "config.value"},
		{"large value", "PUT", "/api/v1/config/a", config(strings.Repeat(" ", 1<<20+1)), 413, fault.TooLarge, "config.value"},
		{"large body", "PUT", "/api/v1/config/a", config(strings.Repeat(" ", 4<<20)), 413, fault.TooLarge, ""},
		{"no such path", "GET", "/api/v1/nothing", "", 404, fault.NotFound, ""},
		{"no such page", "GET", "/nothing", "", 404, fault.NotFound, ""},
		{"no such method", "POST", "/api/v1/status", "", 405, fault.Unsupported, ""},
		{"unknown tenant", "GET", "/api/v1/services?tenant=none", "", 404, fault.NotFound, "tenant"},
		{"no compare target", "POST", "/api/v1/txn", `{"compare":[{"name":"a"}]}`, 400, fault.Invalid, "compare[0].target"},
		{"no operation", "POST", "/api/v1/txn", `{"then":[{}]}`, 400, fault.Invalid, "then[0].op"},
		{"invalid UTF-8", "PUT", "/api/v1/config/a", "{\"config\":{\"message\":\"\xff\"}}", 400, fault.Invalid, ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			h.do(t, tt.method, tt.path, tt.body).wantError(t, tt.status, tt.kind, tt.field)
		})
	}
}

func TestHTTP_RequestID(t *testing.T) {
	h := newHarness(t)
	if a := h.do(t, "GET", "/api/v1/status", "", "X-Request-Id: mine-7"); a.header.Get("X-Request-Id") != "mine-7" {
		t.Errorf("came back as %q", a.header.Get("X-Request-Id"))
	}
	if a := h.do(t, "GET", "/healthz", "", "X-Request-Id: not good"); len(a.header.Get("X-Request-Id")) != 16 {
		t.Errorf("came back as %q", a.header.Get("X-Request-Id"))
	}
	h.do(t, "GET", "/api/v1/config/none", "", "X-Request-Id: mine-8").wantError(t, 404, fault.NotFound, "name")
}

func TestHTTP_FixedPages(t *testing.T) {
	var reasons atomic.Pointer[[]string]
	reasons.Store(&[]string{})
	h := newHarness(t, func(c *Config) { c.NotReady = func() []string { return *reasons.Load() } })
	for _, path := range []string{"/openapi.yaml", "/api/v1/openapi.yaml"} {
		if a := h.do(t, "GET", path, ""); a.status != 200 || !strings.Contains(a.text, "openapi: 3") || !strings.Contains(a.text, "schemas/Error") {
			t.Errorf("%s: %d", path, a.status)
		}
	}
	if a := h.do(t, "GET", "/metrics", ""); a.status != 200 {
		t.Errorf("/metrics: %d", a.status)
	}
	if a := h.do(t, "GET", "/readyz", ""); a.status != 200 || a.json["status"] != "ready" {
		t.Errorf("/readyz: %d %s", a.status, a.text)
	}
	reasons.Store(&[]string{"the view is loading"})
	if a := h.do(t, "GET", "/readyz", ""); a.status != 503 || fmt.Sprint(a.json["reasons"]) != "[the view is loading]" {
		t.Errorf("/readyz while loading: %d %s", a.status, a.text)
	}
	if a := h.do(t, "GET", "/healthz", ""); a.status != 200 {
		t.Errorf("/healthz while loading: %d", a.status)
	}
}

// HTTP takes the same way through authorization as gRPC, and its own pages ask too; health alone does not.
func TestHTTP_Authorization(t *testing.T) {
	paths := []string{"/healthz", "/readyz", "/metrics", "/openapi.yaml", "/api/v1/status", "/api/v1/lookup/web", "/api/v1/watch?tenant=none", "/api/v1/config/a"}
	want := map[access.Role]string{
		access.RoleAnonymous: "200 200 401 401 401 401 401 401",
		access.RoleProxy:     "200 200 403 403 403 404 403 403",
		access.RoleReader:    "200 200 200 200 200 404 404 404",
		access.RoleOperator:  "200 200 200 200 200 404 404 404",
	}
	for role, want := range want {
		h := newHarness(t, func(c *Config) { c.Principal = as(role) })
		var got []string
		for _, p := range paths {
			got = append(got, fmt.Sprint(h.do(t, "GET", p, "").status))
		}
		if s := strings.Join(got, " "); s != want {
			t.Errorf("%s: %s, want %s", role, s, want)
		}
	}
	h := newHarness(t, func(c *Config) { c.Principal = as(access.RoleReader) })
	h.do(t, "PUT", "/api/v1/config/a", config(`{}`)).wantError(t, 403, fault.Denied, "")
	h.do(t, "PUT", "/api/v1/config/a", config(`{}`), "X-HTTP-Method-Override: GET").wantError(t, 403, fault.Denied, "")
	h.do(t, "POST", "/api/v1/config/a", "", "X-HTTP-Method-Override: GET", "Content-Type: application/x-www-form-urlencoded").
		wantError(t, 405, fault.Unsupported, "")
}

func TestHTTP_HostAndOrigin(t *testing.T) {
	h := newHarness(t, func(c *Config) { c.Hosts = []string{"sc.example", "Other.Example:8500"} })
	tests := []struct {
		host, origin string
		want         int
	}{
		{"", "", 200},
		{"localhost:1", "", 200},
		{"127.0.0.1", "", 200},
		{"127.9.9.9:80", "", 200},
		{"[::1]:8500", "", 200},
		{"sc.example", "", 200},
		{"SC.EXAMPLE.:8500", "", 200},
		{"other.example", "", 200},
		{"evil.example", "", 403},
		{"sc.example.evil.example", "", 403},
		{"10.0.0.1", "", 403},
		{"", "http://localhost:3000", 200},
		{"", "https://sc.example", 200},
		{"", "http://evil.example", 403},
		{"", "null", 403},
		{"", "file://", 403},
		{"localhost", "http://localhost.evil.example", 403},
	}
	for _, tt := range tests {
		var headers []string
		if tt.host != "" {
			headers = append(headers, "Host: "+tt.host)
		}
		if tt.origin != "" {
			headers = append(headers, "Origin: "+tt.origin)
		}
		for _, path := range []string{"/healthz", "/api/v1/status"} {
			a := h.do(t, "GET", path, "", headers...)
			if a.status != tt.want {
				t.Errorf("%s with Host %q Origin %q: %d, want %d", path, tt.host, tt.origin, a.status, tt.want)
			}
			if tt.want == 403 {
				a.wantError(t, 403, fault.Denied, "")
			}
		}
	}
}

// A body is not read beyond its bound: the refusal is the listener's, before anything is decoded.
func TestHTTP_BodyIsBounded(t *testing.T) {
	h := newHarness(t)
	a := h.do(t, "PUT", "/api/v1/config/a", config(strings.Repeat(" ", 4<<20)))
	a.wantError(t, 413, fault.TooLarge, "")
	if !strings.Contains(a.text, "the request body is larger than 4194304 bytes") {
		t.Errorf("refused after it was decoded: %s", a.text)
	}
}

// What a page of another origin could send is refused before anything is read of it.
func TestHTTP_ForeignPageWritesNothing(t *testing.T) {
	h := newHarness(t)
	h.do(t, "POST", "/api/v1/instances", `{"instance":{"service":"evil","address":"10.0.0.1","port":80}}`,
		"Origin: http://evil.example", "Content-Type: text/plain").wantError(t, 403, fault.Denied, "")
	h.do(t, "GET", "/api/v1/services/evil", "").wantError(t, 404, fault.NotFound, "name")
}

// A gateway call that did not come through the HTTP handler has no guard behind it and is refused.
func TestInProcess_NeedsItsRequest(t *testing.T) {
	h := newHarness(t)
	gateway, err := h.newGateway()
	if err != nil {
		t.Fatal(err)
	}
	w := httptest.NewRecorder()
	gateway.ServeHTTP(w, httptest.NewRequest("GET", "/api/v1/status", nil))
	if w.Code != http.StatusInternalServerError {
		t.Errorf("%d %s", w.Code, w.Body)
	}
}
