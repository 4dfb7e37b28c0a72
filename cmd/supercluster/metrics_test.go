package main

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"supercluster/internal/telemetry"
)

var (
	// metricName is a metric in a document or an alert rule. Label names and our spans have none of these forms.
	metricName = regexp.MustCompile(`\bsupercluster_[a-z0-9_]+`)
	// scraped is a family in Prometheus text.
	scraped = regexp.MustCompile(`(?m)^# TYPE (supercluster_\S+)`)
)

// TestMetrics keeps docs/metrics.md equal to what a server of a federated region registers, and every name of a metric in the
// documents and alert rules to one of those.
func TestMetrics(t *testing.T) {
	d, _ := startRegions(t, 2, nil)
	tel := d.all[0].running().telemetry
	known := map[string]bool{}
	var page strings.Builder
	page.WriteString(metricsPage)
	for _, i := range tel.Instruments() {
		known[i.Name] = true
		if i.Kind == "histogram" {
			known[i.Name+"_bucket"], known[i.Name+"_sum"], known[i.Name+"_count"] = true, true, true
		}
		if i.Help == "" {
			t.Errorf("%s has no description", i.Name)
		}
		fmt.Fprintf(&page, "| `%s` | %s | %s |\n", i.Name, i.Kind, i.Help)
	}
	for _, name := range families(t, tel) {
		if !known[name] {
			t.Errorf("/metrics has %s, which is not among those that were registered", name)
		}
	}
	comparePage(t, page.String())
	found := 0
	for _, path := range documents(t) {
		text, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		for _, name := range metricName.FindAllString(string(text), -1) {
			if found++; !known[name] {
				t.Errorf("%s names the metric %s, and nothing registers it", path, name)
			}
		}
	}
	if found < len(known)/2+10 {
		t.Errorf("only %d names were found", found)
	}
}

const metricsPage = `# Metrics

` + "`GET /metrics`" + ` of every server has these as Prometheus text, beside those of the Go runtime, of the process and of Dragonboat. One that has
no value yet is left out. [alerts.yaml](alerts.yaml) has rules. This page is made from what a server registers
(` + "`go test ./cmd/supercluster -run TestMetrics -update`" + `).

| metric | kind | what it is |
|---|---|---|
`

func comparePage(t *testing.T, want string) {
	t.Helper()
	const path = "../../docs/metrics.md"
	if *update {
		if err := os.WriteFile(path, []byte(want), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if got, err := os.ReadFile(path); err != nil || string(got) != want {
		t.Errorf("%s is not what a server registers (%v; run with -update to rewrite)", path, err)
	}
}

// families are the names that a scrape shows.
func families(t *testing.T, tel *telemetry.Telemetry) (names []string) {
	t.Helper()
	w := httptest.NewRecorder()
	tel.Metrics().ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/metrics", nil))
	for _, m := range scraped.FindAllStringSubmatch(w.Body.String(), -1) {
		names = append(names, m[1])
	}
	if len(names) < 20 {
		t.Errorf("a scrape shows only %v", names)
	}
	return names
}

// documents are those that name metrics for people, and the alert rules.
func documents(t *testing.T) []string {
	t.Helper()
	pages, err := filepath.Glob("../../docs/*.md")
	if err != nil || !slices.Contains(pages, "../../docs/metrics.md") {
		t.Fatalf("the documents are %v (%v)", pages, err)
	}
	return append(pages, "../../docs/alerts.yaml", "../../README.md")
}
