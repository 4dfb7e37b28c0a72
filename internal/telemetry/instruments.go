package telemetry

import (
	"cmp"
	"maps"
	"slices"
	"strings"

	sdkmetric "go.opentelemetry.io/otel/sdk/metric"
)

// Instruments lists every metric that was registered, by name.
func (t *Telemetry) Instruments() []Instrument {
	t.mu.Lock()
	defer t.mu.Unlock()
	return slices.SortedFunc(maps.Values(t.instruments), func(a, b Instrument) int { return cmp.Compare(a.Name, b.Name) })
}

// note keeps an instrument when it is made. It is a view that changes none.
func (t *Telemetry) note(i sdkmetric.Instrument) (s sdkmetric.Stream, changes bool) {
	x := Instrument{Name: strings.ReplaceAll(i.Name, ".", "_") + unitSuffix[i.Unit], Help: i.Description}
	switch i.Kind {
	case sdkmetric.InstrumentKindCounter, sdkmetric.InstrumentKindObservableCounter:
		x.Name, x.Kind = x.Name+"_total", "counter"
	case sdkmetric.InstrumentKindHistogram:
		x.Kind = "histogram"
	default:
		x.Kind = "gauge"
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.instruments[x.Name] = x
	return s, false
}

// unitSuffix ends the names of metrics with a unit, as the exporter does.
var unitSuffix = map[string]string{"s": "_seconds", "By": "_bytes"}
