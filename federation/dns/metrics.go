package dns

import (
	"context"
	"sync/atomic"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"
)

// transport is how a query came.
type transport uint8

const (
	viaUDP transport = iota
	viaTCP
	transports
)

var (
	transportNames = [transports]string{"udp", "tcp"}
	codeNames      = [...]string{"noerror", "formerr", "servfail", "nxdomain", "notimp", "refused", "badvers"}
)

// metrics counts with plain atomics, which the meter reads when it is asked: a query pays for nothing else.
type metrics struct {
	answers    [transports][len(codeNames)]atomic.Int64
	truncated  atomic.Int64
	ignored    atomic.Int64 // not a query
	limited    atomic.Int64 // over the rate of its source
	turnedAway atomic.Int64 // TCP connections over a limit
	stale      atomic.Int64
}

func (m *metrics) count(via transport, code rcode, message []byte) {
	i := min(int(code), len(codeNames)-1)
	m.answers[via][i].Add(1)
	if message[2]&(flagTruncated>>8) != 0 {
		m.truncated.Add(1)
	}
}

// newMetrics registers the counters; what cannot be registered the meter reports in its log.
func newMetrics(meter metric.Meter) *metrics {
	m := &metrics{}
	plain := func(name, what string, value *atomic.Int64) {
		_, _ = meter.Int64ObservableCounter("supercluster.dns."+name, metric.WithDescription(what),
			metric.WithInt64Callback(func(_ context.Context, o metric.Int64Observer) error {
				o.Observe(value.Load())
				return nil
			}))
	}
	plain("truncated", "Answers that did not fit into their message.", &m.truncated)
	plain("ignored", "Packets that were no query.", &m.ignored)
	plain("limited", "UDP queries over the rate of their source.", &m.limited)
	plain("connections.refused", "TCP connections over a limit.", &m.turnedAway)
	plain("stale", "Answers marked as stale: from an old copy of another region, or of endpoints that were last known.", &m.stale)
	_, _ = meter.Int64ObservableCounter("supercluster.dns.answers",
		metric.WithDescription("Answers sent, by transport and code."),
		metric.WithInt64Callback(m.observeAnswers))
	return m
}

func (m *metrics) observeAnswers(_ context.Context, o metric.Int64Observer) error {
	for t := range m.answers {
		for c := range m.answers[t] {
			if n := m.answers[t][c].Load(); n > 0 {
				o.Observe(n, metric.WithAttributes(
					attribute.String("transport", transportNames[t]), attribute.String("code", codeNames[c])))
			}
		}
	}
	return nil
}
