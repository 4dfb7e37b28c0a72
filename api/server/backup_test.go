package server

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"go.opentelemetry.io/otel/sdk/metric"
	"go.opentelemetry.io/otel/sdk/metric/metricdata"
	"google.golang.org/grpc"

	pb "supercluster/api/gen/supercluster/v1"
	"supercluster/internal/bubble"
	"supercluster/internal/fault"
	"supercluster/region/backup"
	"supercluster/registry/access"
)

// TestBackup_OnlyOperators: a backup is everything, so that reading everything does not suffice.
func TestBackup_OnlyOperators(t *testing.T) {
	for role, allowed := range map[access.Role]bool{
		access.RoleOperator: true, access.RoleDev: true, access.RoleReader: false, access.RoleProxy: false, access.RoleAnonymous: false,
	} {
		r, ok := rowOf(pb.ClusterService_Backup_FullMethodName)
		if !ok || r.class != classOpen {
			t.Fatal("the method has no row, or another class")
		}
		if d := access.Decide(access.Principal{Name: "x", Role: role}, access.Request{Verb: r.verb, Kind: r.kind}); d.Allow != allowed {
			t.Errorf("%s: %+v", role, d)
		}
	}
}

// backupStream is a client that takes a message when somebody receives from sent.
type backupStream struct {
	grpc.ServerStream
	ctx  context.Context
	sent chan []byte
}

func (b *backupStream) Context() context.Context { return b.ctx }

func (b *backupStream) Send(m *pb.BackupResponse) error {
	select {
	case b.sent <- m.GetData():
		return nil
	case <-b.ctx.Done():
		return b.ctx.Err()
	}
}

// backupRun is a server in a bubble and what its metrics say.
type backupRun struct {
	t      *testing.T
	s      *Server
	reader *metric.ManualReader
}

func newBackupRun(t *testing.T) *backupRun {
	r := &backupRun{t: t, reader: metric.NewManualReader()}
	limits := Limits{BackupTimeout: 5 * time.Minute}.withDefaults()
	r.s = &Server{cfg: Config{Region: newFakeRegion(t), Limits: limits}, stopping: make(chan struct{}), log: slog.New(slog.DiscardHandler)}
	var err error
	if r.s.backups, err = newBackupMetrics(metric.NewMeterProvider(metric.WithReader(r.reader)).Meter("test")); err != nil {
		t.Fatal(err)
	}
	return r
}

// begin takes a backup as somebody; its error comes when it ended. The client goes away with leave.
func (r *backupRun) begin(role access.Role) (stream *backupStream, ended chan error, leave func()) {
	c := &call{principal: access.Principal{Name: "x", Role: role}}
	ctx, cancel := context.WithCancel(context.WithValue(r.t.Context(), callKey{}, c))
	stream, ended = &backupStream{ctx: ctx, sent: make(chan []byte)}, make(chan error, 1)
	go func() { ended <- clusterService{s: r.s}.Backup(nil, stream) }()
	synctest.Wait()
	return stream, ended, cancel
}

// whole takes a backup as a client does and checks it.
func (r *backupRun) whole() error {
	stream, ended, leave := r.begin(access.RoleOperator)
	defer leave()
	pr, pw := io.Pipe()
	checked := make(chan error, 1)
	go func() {
		in, err := backup.NewReader(pr)
		if err == nil {
			defer in.Close()
			_, err = io.Copy(io.Discard, in)
		}
		_ = pr.CloseWithError(err) // it always gives nil
		checked <- err
	}()
	for {
		select {
		case data := <-stream.sent:
			if len(data) > backupChunk {
				return errors.New("a message is too large")
			}
			time.Sleep(time.Millisecond)
			if _, err := pw.Write(data); err != nil {
				return err
			}
		case err := <-ended:
			pw.Close()
			return errors.Join(err, <-checked)
		}
	}
}

// metrics lists what is told of backups.
func (r *backupRun) metrics() []string {
	var all metricdata.ResourceMetrics
	if err := r.reader.Collect(r.t.Context(), &all); err != nil {
		r.t.Fatal(err)
	}
	var got []string
	for _, scope := range all.ScopeMetrics {
		for _, m := range scope.Metrics {
			name := strings.TrimPrefix(m.Name, "supercluster.backup.")
			switch data := m.Data.(type) {
			case metricdata.Gauge[int64]:
				got = append(got, fmt.Sprint(name, " over 16 MiB: ", data.DataPoints[0].Value > 16<<20))
			case metricdata.Gauge[float64]:
				got = append(got, fmt.Sprint(name, " ", time.Duration(data.DataPoints[0].Value*float64(time.Second)).Round(10*time.Millisecond)))
			case metricdata.Sum[int64]:
				for _, p := range data.DataPoints {
					outcome, _ := p.Attributes.Value("outcome")
					got = append(got, fmt.Sprint(name, " ", outcome.AsString(), " ", p.Value))
				}
			}
		}
	}
	slices.Sort(got)
	return got
}

// TestBackup_OneAtATime: while one is under way, others are told so at once, whoever asks; then the next one is made.
func TestBackup_OneAtATime(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		r := newBackupRun(t)
		_, ended, leave := r.begin(access.RoleOperator)
		_, second, done := r.begin(access.RoleOperator)
		defer done()
		if err := <-second; !fault.Is(err, fault.Busy) || !strings.Contains(err.Error(), "wait for the backup that is under way, or ask another node") {
			t.Errorf("the second one: %v", err)
		}
		ctx := context.WithValue(t.Context(), callKey{}, &call{principal: access.Principal{Name: "x", Role: access.RoleOperator}})
		if err := r.s.hashState(ctx, &pb.GetStatusResponse{}); !fault.Is(err, fault.Busy) {
			t.Errorf("a hash of the state: %v", err)
		}
		_, third, done := r.begin(access.RoleReader)
		defer done()
		if err := <-third; !fault.Is(err, fault.Denied) {
			t.Errorf("a reader: %v", err)
		}
		leave()
		if err := <-ended; !errors.Is(err, context.Canceled) {
			t.Errorf("the one whose client left: %v", err)
		}
		if err := r.whole(); err != nil {
			t.Errorf("after it: %v", err)
		}
	})
}

// TestBackup_SlowClients: who does not read, and who reads too slowly, is left after a time, and nothing stays pinned for them.
func TestBackup_SlowClients(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		r := newBackupRun(t)
		began := time.Now()
		_, ended, leave := r.begin(access.RoleOperator)
		if err := <-ended; !fault.Is(err, fault.SlowConsumer) || time.Since(began) != r.s.cfg.Limits.SendTimeout {
			t.Errorf("who does not read was left after %s: %v", time.Since(began), err)
		}
		leave()

		began = time.Now()
		stream, ended, leave := r.begin(access.RoleOperator)
		var reader sync.WaitGroup
		reader.Go(func() {
			for stream.ctx.Err() == nil {
				select {
				case <-stream.sent:
					time.Sleep(r.s.cfg.Limits.SendTimeout * 9 / 10)
				case <-stream.ctx.Done():
				}
			}
		})
		if err := <-ended; !fault.Is(err, fault.SlowConsumer) || !strings.Contains(err.Error(), "within 5m0s") || time.Since(began) != r.s.cfg.Limits.BackupTimeout {
			t.Errorf("who reads slowly was left after %s: %v", time.Since(began), err)
		}
		leave()
		reader.Wait()

		stream, ended, leave = r.begin(access.RoleOperator)
		<-stream.sent
		close(r.s.stopping)
		if err := <-ended; !fault.Is(err, fault.Unavailable) || !strings.Contains(err.Error(), "ask another node") {
			t.Errorf("while the node stops: %v", err)
		}
		leave()
	})
}

func TestBackup_Metrics(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		r := newBackupRun(t)
		if got := r.metrics(); len(got) > 0 {
			t.Errorf("before the first one: %q", got)
		}
		began := time.Now()
		if err := r.whole(); err != nil {
			t.Fatal(err)
		}
		took := time.Since(began).Round(10 * time.Millisecond)
		_, ended, leave := r.begin(access.RoleOperator)
		_, second, done := r.begin(access.RoleOperator)
		<-second
		done()
		leave()
		<-ended
		_, ended, leave = r.begin(access.RoleOperator)
		<-ended
		leave()
		want := []string{
			"failures canceled 1", "failures slow-consumer 1", fmt.Sprint("last_duration ", took),
			"last_size over 16 MiB: true", fmt.Sprint("last_time ", time.Duration(began.UnixNano())),
		}
		if got := r.metrics(); !slices.Equal(got, want) {
			t.Errorf("metrics\n%q, want\n%q", got, want)
		}
		s := r.s.backups.status()
		if !s.GetLast().AsTime().Equal(began) || s.GetSize() < 16<<20 || s.GetFailures() != 2 || !s.GetFailed().AsTime().After(began) ||
			!strings.Contains(s.GetFailure(), "before its end") && !strings.Contains(s.GetFailure(), "did not take") {
			t.Errorf("the status says %v", s)
		}
	})
}

func TestStatus_HashOnlyWhenAsked(t *testing.T) {
	s := &Server{cfg: Config{Region: newFakeRegion(t), Limits: Limits{}.withDefaults()}, stopping: make(chan struct{})}
	for role, kind := range map[access.Role]fault.Kind{access.RoleOperator: 0, access.RoleReader: fault.Denied} {
		ctx := context.WithValue(t.Context(), callKey{}, &call{principal: access.Principal{Name: "x", Role: role}})
		resp := &pb.GetStatusResponse{}
		err := s.hashState(ctx, resp)
		if role == access.RoleReader {
			if !fault.Is(err, kind) || resp.StateHash != "" {
				t.Errorf("a reader: %q, %v", resp.StateHash, err)
			}
			continue
		}
		if err != nil || !strings.HasPrefix(resp.StateHash, "ab00") || !strings.HasPrefix(resp.ContentHash, "cd00") || resp.AppliedIndex != 7 || resp.Revision != 5 {
			t.Errorf("%v, %v", resp, err)
		}
	}
}
