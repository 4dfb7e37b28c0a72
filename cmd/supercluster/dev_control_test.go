package main

import (
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"

	"supercluster/internal/config"
	"supercluster/internal/fault"
)

// TestDevControl_Errors: what a control refuses has the same kind, and so the same exit code, in the command.
func TestDevControl_Errors(t *testing.T) {
	d := &devRegions{cut: map[[2]int]bool{}}
	for i, name := range []string{"dc1", "dc2"} {
		d.all = append(d.all, &devRegion{number: i, config: config.Server{Region: name}})
	}
	mux := http.NewServeMux()
	d.handle(mux)
	server := httptest.NewServer(mux)
	defer server.Close()
	for _, c := range []struct {
		name, a, b string
		kind       fault.Kind
		text       string
	}{
		{"cut", "dc1", "dc9", fault.NotFound, "there are dc1, dc2"},
		{"cut", "dc1", "dc1", fault.Invalid, "name two different regions"},
		{"kill-region", "dc9", "", fault.NotFound, "there are dc1, dc2"},
		{"kill-region", "dc2", "", fault.Conflict, "supercluster dev start-region dc2"},
		{"start-region", "dc9", "", fault.NotFound, "there are dc1, dc2"},
	} {
		q := url.Values{"a": {c.a}, "b": {c.b}}
		err := control(t.Context(), strings.TrimPrefix(server.URL, "http://"), c.name, q)
		if !fault.Is(err, c.kind) || !strings.Contains(err.Error(), c.text) {
			t.Errorf("%s %s %s: %v, not %v with %q", c.name, c.a, c.b, err, c.kind, c.text)
		}
	}
}
