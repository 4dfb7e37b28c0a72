package cli

import (
	"bytes"
	"context"
	"net"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"
	"google.golang.org/grpc"

	pb "supercluster/api/gen/supercluster/v1"
	"supercluster/api/status"
	"supercluster/internal/fault"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// fake is a server that answers puts as a test says.
type fake struct {
	pb.UnimplementedConfigServiceServer
	pb.UnimplementedTenantServiceServer
	pb.UnimplementedWatchServiceServer

	mu      sync.Mutex
	puts    []*pb.PutConfigRequest
	answers []error // of puts, in order; then success
	watch   func(*pb.WatchRequest, grpc.ServerStreamingServer[pb.WatchResponse]) error
}

func (f *fake) ListTenants(context.Context, *pb.ListTenantsRequest) (*pb.ListTenantsResponse, error) {
	return &pb.ListTenantsResponse{Header: &pb.ReadHeader{Revision: 41}}, nil
}

func (f *fake) PutConfig(_ context.Context, r *pb.PutConfigRequest) (*pb.PutConfigResponse, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.puts = append(f.puts, r)
	if len(f.answers) > 0 {
		err := f.answers[0]
		f.answers = f.answers[1:]
		return nil, status.ToGRPC(err)
	}
	return &pb.PutConfigResponse{Header: &pb.WriteHeader{Revision: 42}}, nil
}

func (f *fake) Watch(r *pb.WatchRequest, stream grpc.ServerStreamingServer[pb.WatchResponse]) error {
	return f.watch(r, stream)
}

func (f *fake) got() []*pb.PutConfigRequest {
	f.mu.Lock()
	defer f.mu.Unlock()
	return slices.Clone(f.puts)
}

func (f *fake) start(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := grpc.NewServer()
	pb.RegisterConfigServiceServer(s, f)
	pb.RegisterTenantServiceServer(s, f)
	pb.RegisterWatchServiceServer(s, f)
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = s.Serve(l)
	}()
	t.Cleanup(func() { s.Stop(); <-done })
	return l.Addr().String()
}

// cli runs a command line and gives its output, its error output and the exit code.
func runCLI(t *testing.T, env map[string]string, args ...string) (out, errOut string, code int) {
	t.Helper()
	var o, e bytes.Buffer
	app := &App{In: strings.NewReader(""), Out: &o, Err: &e, Getenv: func(name string) string { return env[name] }, Version: "test"}
	root := New(app)
	root.SetArgs(args)
	err := root.ExecuteContext(t.Context())
	code = Report(&e, err)
	return o.String(), e.String(), code
}

func TestInvoke_RetriesWithTheSameRequestID(t *testing.T) {
	unknown := fault.New(fault.OutcomeUnknown, "no answer")
	f := &fake{answers: []error{unknown, fault.New(fault.Unavailable, "no leader"), fault.New(fault.Busy, "queue is full")}}
	out, _, code := runCLI(t, map[string]string{"SUPERCLUSTER_SERVER": f.start(t)}, "config", "put", "a", "1")
	if code != 0 || out != "a: revision 42\n" {
		t.Fatalf("exit code %d, output %q", code, out)
	}
	puts := f.got()
	if len(puts) != 4 {
		t.Fatalf("the server got %d puts, want 4", len(puts))
	}
	first := puts[0].GetOptions()
	if first.GetRequestId() == "" || first.GetSeenRevision() != 41 {
		t.Errorf("options = %v, want a request id and what was seen before", first)
	}
	for _, p := range puts {
		if p.GetOptions().GetRequestId() != first.GetRequestId() {
			t.Errorf("a retry had another request id")
		}
	}
}

func TestInvoke_WhatCannotSucceedIsNotSentAgain(t *testing.T) {
	for _, kind := range []fault.Kind{fault.Invalid, fault.Denied, fault.Conflict, fault.IdempotencyExpired, fault.Exhausted, fault.Internal} {
		f := &fake{answers: []error{fault.New(kind, "no")}}
		_, errOut, code := runCLI(t, map[string]string{"SUPERCLUSTER_SERVER": f.start(t)}, "config", "put", "a", "1")
		if code != status.ExitCode(kind) || len(f.got()) != 1 || errOut != "error: no\n" {
			t.Errorf("%v: exit code %d, %d puts, error output %q", kind, code, len(f.got()), errOut)
		}
	}
}

func TestInvoke_GoesToTheNextServer(t *testing.T) {
	down, leaderless, good := "127.0.0.1:1", &fake{answers: slices.Repeat([]error{fault.New(fault.Unavailable, "no leader")}, 9)}, &fake{}
	servers := strings.Join([]string{down, leaderless.start(t), good.start(t)}, ",")
	_, errOut, code := runCLI(t, nil, "--server", servers, "config", "put", "a", "1")
	if code != 0 {
		t.Fatalf("exit code %d: %s", code, errOut)
	}
	if len(leaderless.got()) != 1 || len(good.got()) != 1 {
		t.Errorf("puts: %d at the server without a leader, %d at the good one; want one each", len(leaderless.got()), len(good.got()))
	}
}

func TestInvoke_GivesUpWithinTheTimeout(t *testing.T) {
	f := &fake{answers: slices.Repeat([]error{fault.New(fault.Unavailable, "no leader")}, 1000)}
	began := time.Now()
	_, errOut, code := runCLI(t, nil, "--server", f.start(t), "--timeout", "300ms", "config", "put", "a", "1")
	if took := time.Since(began); took > 5*time.Second {
		t.Errorf("gave up after %v", took)
	}
	// Where the time ended during a call, that one's outcome is not known.
	if code != status.ExitCode(fault.Unavailable) && code != status.ExitCode(fault.OutcomeUnknown) || !strings.HasPrefix(errOut, "error: ") {
		t.Errorf("exit code %d, error output %q", code, errOut)
	}
	if n := len(f.got()); n < 2 || n > 20 {
		t.Errorf("%d attempts in 300 ms: the pauses do not grow", n)
	}
}

func TestInvoke_AnUnknownOutcomeStaysUnknown(t *testing.T) {
	f := &fake{answers: append([]error{fault.New(fault.OutcomeUnknown, "who knows")}, slices.Repeat([]error{fault.New(fault.Unavailable, "no leader")}, 1000)...)}
	_, errOut, code := runCLI(t, nil, "--server", f.start(t), "--timeout", "200ms", "config", "put", "a", "1")
	if code != status.ExitCode(fault.OutcomeUnknown) || errOut != "error: who knows\n" {
		t.Errorf("exit code %d, error output %q", code, errOut)
	}
}

func TestInvoke_NobodyThere(t *testing.T) {
	_, errOut, code := runCLI(t, nil, "--server", "127.0.0.1:1", "config", "get", "a")
	if code != status.ExitCode(fault.Unavailable) || !strings.Contains(errOut, "cannot reach 127.0.0.1:1") || !strings.Contains(errOut, "supercluster dev") {
		t.Errorf("exit code %d, error output %q", code, errOut)
	}
}

func TestFollow_ResumesWhereItStood(t *testing.T) {
	var mu sync.Mutex
	var from, lives []uint64
	f := &fake{watch: func(r *pb.WatchRequest, stream grpc.ServerStreamingServer[pb.WatchResponse]) error {
		mu.Lock()
		from, lives = append(from, r.GetFromRevision()), append(lives, r.GetFromIncarnation())
		n := len(from)
		mu.Unlock()
		if n == 3 {
			return status.ToGRPC(fault.New(fault.Compacted, "history is gone"))
		}
		event := &pb.Event{Type: pb.Event_TYPE_PUT, Kind: pb.Kind_KIND_CONFIG, Name: "a", Value: &pb.Event_Config{Config: &pb.Config{}}}
		if err := stream.Send(&pb.WatchResponse{Events: []*pb.Event{event}, Revision: uint64(10 * n), Incarnation: uint64(n + 6)}); err != nil {
			return err
		}
		return status.ToGRPC(fault.New(fault.Unavailable, "stopping"))
	}}
	out, errOut, code := runCLI(t, nil, "--server", f.start(t), "config", "watch", "--from-revision", "5", "--from-incarnation", "6")
	if code != status.ExitCode(fault.Compacted) || errOut != "error: history is gone\n" {
		t.Errorf("exit code %d, error output %q", code, errOut)
	}
	if !slices.Equal(from, []uint64{5, 11, 21}) || !slices.Equal(lives, []uint64{6, 7, 8}) {
		t.Errorf("the watch was opened from %v of the incarnations %v", from, lives)
	}
	if want := "10  put     config        a  text, 0 bytes\n20  put     config        a  text, 0 bytes\n"; out != want {
		t.Errorf("output %q, want %q", out, want)
	}
}
