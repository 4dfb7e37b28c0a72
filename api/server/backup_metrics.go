package server

import (
	"context"
	"sync"
	"time"

	"go.opentelemetry.io/otel/metric"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/timestamppb"

	pb "supercluster/api/gen/supercluster/v1"
	"supercluster/internal/fault"
)

// backupMetrics tells of the backups that this node made.
type backupMetrics struct {
	failures metric.Int64Counter

	mu     sync.Mutex
	last   madeBackup
	failed failedBackups
}

// madeBackup is a backup that a client took to its end. Whether it is on a disk there, only the client knows.
type madeBackup struct {
	at   time.Time
	size uint64
	took time.Duration
}

// failedBackups are those that were begun and not taken.
type failedBackups struct {
	n   uint64
	at  time.Time // of the last one
	why string
}

func newBackupMetrics(meter metric.Meter) (*backupMetrics, error) {
	m := &backupMetrics{}
	var err error
	if m.failures, err = meter.Int64Counter("supercluster.backup.failures",
		metric.WithDescription("Backups that this node began and a client did not get, by outcome.")); err != nil {
		return nil, err
	}
	at, err := meter.Float64ObservableGauge("supercluster.backup.last_time", metric.WithUnit("s"),
		metric.WithDescription("When the last backup began that this node made, in seconds since 1970; none before the first."))
	if err != nil {
		return nil, err
	}
	size, err := meter.Int64ObservableGauge("supercluster.backup.last_size", metric.WithUnit("By"),
		metric.WithDescription("Bytes of the last backup that this node made."))
	if err != nil {
		return nil, err
	}
	took, err := meter.Float64ObservableGauge("supercluster.backup.last_duration", metric.WithUnit("s"),
		metric.WithDescription("How long the last backup took that this node made."))
	if err != nil {
		return nil, err
	}
	_, err = meter.RegisterCallback(func(_ context.Context, o metric.Observer) error {
		m.mu.Lock()
		defer m.mu.Unlock()
		if m.last.at.IsZero() {
			return nil
		}
		o.ObserveFloat64(at, float64(m.last.at.UnixMilli())/1000)
		o.ObserveInt64(size, int64(m.last.size))
		o.ObserveFloat64(took, m.last.took.Seconds())
		return nil
	}, at, size, took)
	return m, err
}

// note counts a backup that ended with err.
func (m *backupMetrics) note(ctx context.Context, err error, at time.Time, size uint64, took time.Duration) {
	if err != nil {
		m.failures.Add(ctx, 1, metric.WithAttributes(outcomeOf(err)))
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if err != nil {
		m.failed = failedBackups{n: m.failed.n + 1, at: at, why: whyFailed(err)}
		return
	}
	m.last = madeBackup{at: at, size: size, took: took}
}

// whyFailed is what the status says of a backup that was not taken.
func whyFailed(err error) string {
	if e, ok := fault.As(err); ok {
		return e.Text()
	}
	switch fault.KindOf(err) {
	case fault.Canceled:
		return "the client left before its end: what it printed says why"
	case fault.Deadline:
		return "the time of the client was over before its end"
	default:
		return err.Error()
	}
}

// status is what the status of this node says.
func (m *backupMetrics) status() *pb.BackupStatus {
	m.mu.Lock()
	defer m.mu.Unlock()
	s := &pb.BackupStatus{Failures: m.failed.n, Failure: m.failed.why}
	if !m.last.at.IsZero() {
		s.Last, s.Size, s.Took = timestamppb.New(m.last.at), m.last.size, durationpb.New(m.last.took)
	}
	if m.failed.n > 0 {
		s.Failed = timestamppb.New(m.failed.at)
	}
	return s
}
