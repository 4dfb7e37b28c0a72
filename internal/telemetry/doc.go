// Package telemetry makes the log, the metrics and the traces of a process.
//
// It owns their outputs: slog as text or JSON, Prometheus text through OpenTelemetry with the Go runtime beside
// it, spans to an OTLP collector when one is configured. It never decides what is worth logging or measuring.
//
// Invariants:
//
//	I1 without a collector no span is ever made: Tracer is nil
//	I2 New starts nothing; spans are exported while Run runs, and what waits is flushed before it ends, within 5 s
//	I3 a collector that is away costs memory of at most 2,048 spans and no call waits for it
//
// A Telemetry is safe for concurrent use.
package telemetry
