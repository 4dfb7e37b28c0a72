package xds

import (
	"context"
	"hash/maphash"
	"sync/atomic"
	"time"

	"go.opentelemetry.io/otel/metric"
	"go.opentelemetry.io/otel/metric/noop"
)

// stats counts what the server does. Counters are plain atomics, read when somebody collects: a push must not pay
// for its metrics.
type stats struct {
	seed maphash.Seed // of the hashes of names; here because it lives as long as the server

	responses, responseBytes, requests, nacks atomic.Uint64
	planned, built, invalid, changed          atomic.Uint64
	refused, stalled                          atomic.Uint64

	ackTime metric.Float64Histogram
}

func (s *stats) sent(bytes int) {
	s.responses.Add(1)
	s.responseBytes.Add(uint64(bytes))
}

func (s *stats) request(nack bool) {
	s.requests.Add(1)
	if nack {
		s.nacks.Add(1)
	}
}

// acknowledged takes note of how long a client took for a response.
func (s *stats) acknowledged(d time.Duration) {
	s.ackTime.Record(context.Background(), d.Seconds())
}

func newStats(m metric.Meter, srv *Server) *stats {
	s := &stats{seed: maphash.MakeSeed()}
	if m == nil {
		m = noop.NewMeterProvider().Meter("")
	}
	counter := func(name, unit, text string, v *atomic.Uint64) {
		_, err := m.Int64ObservableCounter(name, metric.WithUnit(unit), metric.WithDescription(text),
			metric.WithInt64Callback(func(_ context.Context, o metric.Int64Observer) error {
				o.Observe(int64(v.Load()))
				return nil
			}))
		if err != nil {
			srv.log.Warn("xds: a metric cannot be made", "name", name, "error", err)
		}
	}
	counter("supercluster.xds.responses", "{response}", "Responses sent.", &s.responses)
	counter("supercluster.xds.sent", "By", "Bytes of responses sent.", &s.responseBytes)
	counter("supercluster.xds.requests", "{request}", "Requests received, acknowledgements included.", &s.requests)
	counter("supercluster.xds.nacks", "{request}", "Responses that clients rejected.", &s.nacks)
	counter("supercluster.xds.planned", "{service}", "Services planned again.", &s.planned)
	counter("supercluster.xds.built", "{resource}", "Resources built.", &s.built)
	counter("supercluster.xds.changed", "{resource}", "Resources whose bytes changed.", &s.changed)
	counter("supercluster.xds.invalid", "{resource}", "Resources kept back because they are not valid.", &s.invalid)
	counter("supercluster.xds.refused", "{stream}", "Streams refused.", &s.refused)
	counter("supercluster.xds.stalled", "{stream}", "Streams ended because their client held them up.", &s.stalled)
	var err error
	s.ackTime, err = m.Float64Histogram("supercluster.xds.acknowledge.duration", metric.WithUnit("s"),
		metric.WithDescription("From a response to its acknowledgement."))
	if err != nil {
		srv.log.Warn("xds: a metric cannot be made", "name", "supercluster.xds.acknowledge.duration", "error", err)
		s.ackTime = noop.Float64Histogram{}
	}
	_, err = m.Int64ObservableGauge("supercluster.xds.streams", metric.WithUnit("{stream}"),
		metric.WithDescription("Streams connected."),
		metric.WithInt64Callback(func(_ context.Context, o metric.Int64Observer) error {
			o.Observe(int64(len(srv.snapshot())))
			return nil
		}))
	if err != nil {
		srv.log.Warn("xds: a metric cannot be made", "name", "supercluster.xds.streams", "error", err)
	}
	return s
}
