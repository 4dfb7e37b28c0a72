package dns

import (
	"testing"

	mdns "github.com/miekg/dns"
	sdkmetric "go.opentelemetry.io/otel/sdk/metric"
	"go.opentelemetry.io/otel/sdk/metric/metricdata"

	"supercluster/registry"
)

func TestMetrics(t *testing.T) {
	reader := sdkmetric.NewManualReader()
	s := example(t)
	r := newResponder(t, func() *registry.View { return s.view })
	r.metrics = newMetrics(sdkmetric.NewMeterProvider(sdkmetric.WithReader(reader)).Meter("dns"))
	ask(t, r, question("web.service.sc.internal.", mdns.TypeA), viaUDP)
	ask(t, r, question("none.service.sc.internal.", mdns.TypeA), viaUDP)
	ask(t, r, question("none.service.sc.internal.", mdns.TypeA), viaTCP)
	r.answer(newScratch(), []byte{1}, viaUDP)
	var data metricdata.ResourceMetrics
	if err := reader.Collect(t.Context(), &data); err != nil {
		t.Fatal(err)
	}
	got := map[string]int64{}
	for _, m := range data.ScopeMetrics[0].Metrics {
		for _, p := range m.Data.(metricdata.Sum[int64]).DataPoints {
			name := m.Name
			for _, a := range p.Attributes.ToSlice() {
				name += " " + a.Value.AsString()
			}
			got[name] = p.Value
		}
	}
	for name, want := range map[string]int64{
		"supercluster.dns.answers noerror udp": 1, "supercluster.dns.answers nxdomain udp": 1,
		"supercluster.dns.answers nxdomain tcp": 1, "supercluster.dns.ignored": 1,
		"supercluster.dns.truncated": 0, "supercluster.dns.limited": 0, "supercluster.dns.connections.refused": 0,
	} {
		if n, ok := got[name]; !ok || n != want {
			t.Errorf("%s = %d, %v, want %d; all: %v", name, n, ok, want, got)
		}
	}
}
