package server

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/grpc"

	pb "supercluster/api/gen/supercluster/v1"
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

// backupStream is a client that reads, or not.
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

func newBackupStream(ctx context.Context, role access.Role) *backupStream {
	c := &call{principal: access.Principal{Name: "x", Role: role}}
	return &backupStream{ctx: context.WithValue(ctx, callKey{}, c), sent: make(chan []byte)}
}

// TestBackup_OneAtATime_AndSlowClientsAreLeft: who does not read is left after a time, and meanwhile nobody else begins.
func TestBackup_OneAtATime_AndSlowClientsAreLeft(t *testing.T) {
	s := &Server{cfg: Config{Region: newFakeRegion(t), Limits: Limits{}.withDefaults()}, stopping: make(chan struct{})}
	s.log = slog.New(slog.DiscardHandler)
	k := clusterService{s: s}
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		ended := make(chan error, 1)
		began := time.Now()
		go func() { ended <- k.Backup(nil, newBackupStream(ctx, access.RoleOperator)) }()
		synctest.Wait()
		if err := k.Backup(nil, newBackupStream(ctx, access.RoleOperator)); !fault.Is(err, fault.Busy) {
			t.Errorf("the second one: %v", err)
		}
		if err := k.Backup(nil, newBackupStream(ctx, access.RoleReader)); !fault.Is(err, fault.Denied) {
			t.Errorf("a reader: %v", err)
		}
		if err := <-ended; !fault.Is(err, fault.SlowConsumer) || time.Since(began) != s.cfg.Limits.SendTimeout {
			t.Errorf("the first one ended after %s: %v", time.Since(began), err)
		}
		if err := readBackup(ctx, k); err != nil {
			t.Errorf("after it: %v", err)
		}
		cancel() // ends the send that is late
	})
}

// readBackup takes a backup as a client does and checks it.
func readBackup(ctx context.Context, k clusterService) error {
	stream := newBackupStream(ctx, access.RoleOperator)
	pr, pw := io.Pipe()
	checked := make(chan error, 1)
	go func() {
		in, err := backup.NewReader(pr)
		if err == nil {
			defer in.Close()
			_, err = io.Copy(io.Discard, in)
		}
		checked <- err
	}()
	ended := make(chan error, 1)
	go func() { ended <- k.Backup(nil, stream) }()
	for {
		select {
		case data := <-stream.sent:
			if len(data) > backupChunk {
				return errors.New("a message is too large")
			}
			if _, err := pw.Write(data); err != nil {
				return err
			}
		case err := <-ended:
			pw.Close()
			return errors.Join(err, <-checked)
		}
	}
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
		if err != nil || !strings.HasPrefix(resp.StateHash, "ab00") || resp.AppliedIndex != 7 || resp.Revision != 5 {
			t.Errorf("%v, %v", resp, err)
		}
	}
}
