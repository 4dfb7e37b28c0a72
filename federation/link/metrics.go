package link

import (
	"context"
	"encoding/hex"
	"sync/atomic"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"
	"go.opentelemetry.io/otel/metric/noop"

	"supercluster/internal/fault"
)

type direction uint8

const (
	inward direction = iota
	outward
	directions
)

var directionNames = [directions]string{"in", "out"}

// metrics counts with plain atomics, which the meter reads when it is asked.
type metrics struct {
	bytes, frames [classEnd][directions]atomic.Int64
	copies        [classEnd][directions]atomic.Int64
	connects      [directions]atomic.Int64
	refused       []atomic.Int64 // by kind
	stalls        atomic.Int64
}

func newMetrics(meter metric.Meter, e *Endpoint) (*metrics, error) {
	m := &metrics{refused: make([]atomic.Int64, len(fault.Kinds()))}
	if meter == nil {
		meter = noop.NewMeterProvider().Meter("")
	}
	var errs []error
	counter := func(name, unit, what string, observe metric.Int64Callback) {
		_, err := meter.Int64ObservableCounter("supercluster.link."+name, metric.WithUnit(unit),
			metric.WithDescription(what), metric.WithInt64Callback(observe))
		errs = append(errs, err)
	}
	counter("payload", "By", "Bytes of messages between regions before compression, by class and direction.", byClass(&m.bytes))
	counter("frames", "{frame}", "Frames between regions, by class and direction.", byClass(&m.frames))
	counter("copies", "{message}", "Messages between regions that went a second time, in datagrams, by class and direction.", byClass(&m.copies))
	counter("connections", "{connection}", "Connections between regions that were made.", m.observeConnects)
	counter("refused", "{connection}", "Connections of other regions that were refused, by kind of error.", m.observeRefused)
	counter("stalls", "{stall}", "Connections ended because applied positions did not advance.",
		func(_ context.Context, o metric.Int64Observer) error { o.Observe(m.stalls.Load()); return nil })
	_, err := meter.Float64ObservableGauge("supercluster.link.rtt", metric.WithUnit("s"),
		metric.WithDescription("Smoothed round trip to a region."), metric.WithFloat64Callback(e.observeRTT))
	errs = append(errs, err)
	for _, err := range errs {
		if err != nil {
			return nil, err
		}
	}
	return m, nil
}

func (m *metrics) count(c Class, d direction, bytes, frames int) {
	m.bytes[c][d].Add(int64(bytes))
	m.frames[c][d].Add(int64(frames))
}

func (m *metrics) copied(c Class, d direction, n int) { m.copies[c][d].Add(int64(n)) }

func (m *metrics) connected(d direction) { m.connects[d].Add(1) }

func (m *metrics) refuse(k fault.Kind) { m.refused[k].Add(1) }

func byClass(values *[classEnd][directions]atomic.Int64) metric.Int64Callback {
	return func(_ context.Context, o metric.Int64Observer) error {
		for _, c := range Classes() {
			for d := range directions {
				if n := values[c][d].Load(); n > 0 {
					o.Observe(n, metric.WithAttributes(
						attribute.String("class", c.String()), attribute.String("direction", directionNames[d])))
				}
			}
		}
		return nil
	}
}

func (m *metrics) observeConnects(_ context.Context, o metric.Int64Observer) error {
	for d := range m.connects {
		o.Observe(m.connects[d].Load(), metric.WithAttributes(attribute.String("direction", directionNames[d])))
	}
	return nil
}

func (m *metrics) observeRefused(_ context.Context, o metric.Int64Observer) error {
	for _, k := range fault.Kinds() {
		if n := m.refused[k].Load(); n > 0 {
			o.Observe(n, metric.WithAttributes(attribute.String("kind", k.String())))
		}
	}
	return nil
}

func (e *Endpoint) observeRTT(_ context.Context, o metric.Float64Observer) error {
	e.mu.Lock()
	defer e.mu.Unlock()
	best := map[[16]byte]float64{}
	for c := range e.conns {
		rtt := c.Stats().RTT.Seconds()
		if old, ok := best[c.peer.Region]; !ok || rtt < old {
			best[c.peer.Region] = rtt
		}
	}
	for region, rtt := range best {
		o.Observe(rtt, metric.WithAttributes(attribute.String("region", hex.EncodeToString(region[:]))))
	}
	return nil
}
