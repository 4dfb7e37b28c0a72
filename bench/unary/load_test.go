package unary_test

import (
	"bytes"
	"context"
	"io"
	"net"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/encoding"
	"google.golang.org/grpc/mem"
	"google.golang.org/grpc/status"

	"supercluster/bench/unary"
)

// raw is a codec that passes bytes.
type raw struct{}

func (raw) Name() string { return "raw" }

func (raw) Marshal(v any) (mem.BufferSlice, error) {
	return mem.BufferSlice{mem.SliceBuffer(*v.(*[]byte))}, nil
}

func (raw) Unmarshal(data mem.BufferSlice, v any) error {
	*v.(*[]byte) = data.Materialize()
	return nil
}

var _ encoding.CodecV2 = raw{}

// serve starts a gRPC server that answers every method with what answer gives, and tells its address.
func serve(t *testing.T, answer func(method string, request []byte) ([]byte, error)) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := grpc.NewServer(grpc.ForceServerCodecV2(raw{}), grpc.UnknownServiceHandler(func(_ any, stream grpc.ServerStream) error {
		method, _ := grpc.MethodFromServerStream(stream)
		var request []byte
		if err := stream.RecvMsg(&request); err != nil {
			return err
		}
		response, err := answer(method, request)
		if err != nil {
			return err
		}
		return stream.SendMsg(&response)
	}))
	go func() { _ = s.Serve(l) }()
	t.Cleanup(s.Stop)
	return l.Addr().String()
}

// times gives a message n times, then nothing.
func times(n int64, message []byte) func(int) []byte {
	var given atomic.Int64
	return func(int) []byte {
		if given.Add(1) > n {
			return nil
		}
		return unary.Frame(message)
	}
}

func TestLoad_EveryCallArrivesWholeAndIsAnswered(t *testing.T) {
	const n = 5_000
	want := bytes.Repeat([]byte("request"), 100)
	var got, open, most atomic.Int64
	address := serve(t, func(method string, request []byte) ([]byte, error) {
		got.Add(1)
		for now := open.Add(1); ; {
			if before := most.Load(); before >= now || most.CompareAndSwap(before, now) {
				break
			}
		}
		defer open.Add(-1)
		if method != "/a.B/Do" || !bytes.Equal(request, want) {
			t.Errorf("%s got %q", method, request)
		}
		return bytes.Repeat([]byte("x"), 2_000), nil // more than the first window of a connection together
	})
	s := unary.Load(t.Context(), unary.Method{Address: address, Path: "/a.B/Do", Next: times(n, want), Least: 2_000}, 64, 4, time.Minute)
	if s.Errors != 0 || got.Load() != n {
		t.Errorf("%d calls arrived of %d, %d errors: %v", got.Load(), n, s.Errors, s.LastError)
	}
	if most.Load() > 64 {
		t.Errorf("%d calls at once of 64 clients", most.Load())
	}
}

func TestLoad_CountsWhatEndsAfterTheWarmUp(t *testing.T) {
	address := serve(t, func(string, []byte) ([]byte, error) { return []byte("answer"), nil })
	const run = 200 * time.Millisecond
	s := unary.Load(t.Context(), unary.Method{Address: address, Path: "/a.B/Do", Next: func(int) []byte { return unary.Frame(nil) }}, 3, 2, run)
	if s.Errors != 0 || s.Operations == 0 || s.Elapsed != run || s.P50 <= 0 || s.Max < s.P99 || s.P99 < s.P50 {
		t.Errorf("%+v", s)
	}
}

func TestLoad_BadAnswersAreErrors(t *testing.T) {
	tests := []struct {
		name   string
		answer func(string, []byte) ([]byte, error)
	}{
		{"a status", func(string, []byte) ([]byte, error) { return nil, status.Error(codes.Unavailable, "no leader") }},
		{"a short answer", func(string, []byte) ([]byte, error) { return []byte("abc"), nil }},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			m := unary.Method{Address: serve(t, tt.answer), Path: "/a.B/Do", Next: times(10, nil), Least: 4}
			if s := unary.Load(t.Context(), m, 2, 1, time.Minute); s.Errors != 10 || s.Operations != 0 || s.LastError == nil {
				t.Errorf("%+v", s)
			}
		})
	}
}

// resetting answers one connection, frame by frame, with nothing between the answer's end and a reset of its call. The reset is
// sent before the answer if early, and says why.
func resetting(t *testing.T, early bool, why http2.ErrCode) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	go func() {
		socket, err := l.Accept()
		if err != nil {
			return
		}
		defer socket.Close()
		_, _ = io.ReadFull(socket, make([]byte, len(http2.ClientPreface)))
		frames := http2.NewFramer(socket, socket)
		_ = frames.WriteSettings()
		for {
			next, err := frames.ReadFrame()
			if err != nil {
				return
			}
			if next.Header().Type != http2.FrameData {
				continue
			}
			stream := next.Header().StreamID
			if early {
				_ = frames.WriteRSTStream(stream, why)
				continue
			}
			_ = frames.WriteHeaders(http2.HeadersFrameParam{StreamID: stream, BlockFragment: encoded(":status", "200"), EndHeaders: true})
			_ = frames.WriteData(stream, false, unary.Frame([]byte("answer")))
			_ = frames.WriteHeaders(http2.HeadersFrameParam{
				StreamID: stream, BlockFragment: encoded("grpc-status", "0"), EndHeaders: true, EndStream: true,
			})
			_ = frames.WriteRSTStream(stream, why)
		}
	}()
	return l.Addr().String()
}

func encoded(name, value string) []byte {
	var block bytes.Buffer
	_ = hpack.NewEncoder(&block).WriteField(hpack.HeaderField{Name: name, Value: value}) // memory takes all
	return block.Bytes()
}

func TestLoad_ResetOfACall(t *testing.T) {
	tests := []struct {
		name   string
		early  bool
		why    http2.ErrCode
		errors int
	}{
		{"answered, no error", false, http2.ErrCodeNo, 0},
		{"answered, an error", false, http2.ErrCodeInternal, 1},
		{"not answered", true, http2.ErrCodeNo, 1},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			m := unary.Method{Address: resetting(t, tt.early, tt.why), Path: "/a.B/Do", Next: times(10, nil), Least: 4}
			if s := unary.Load(t.Context(), m, 1, 1, time.Minute); s.Errors != tt.errors {
				t.Errorf("%+v", s)
			}
		})
	}
}

func TestLoad_EndsWithAConnectionThatFailsAndWithItsContext(t *testing.T) {
	m := unary.Method{Address: "127.0.0.1:1", Path: "/a.B/Do", Next: times(1, nil)}
	if s := unary.Load(t.Context(), m, 1, 1, time.Minute); s.Errors != 1 || s.LastError == nil {
		t.Errorf("nobody listens: %+v", s)
	}
	ctx, cancel := context.WithCancel(t.Context())
	release := make(chan struct{})
	var once sync.Once
	m.Address = serve(t, func(string, []byte) ([]byte, error) {
		once.Do(cancel)
		<-release
		return nil, nil
	})
	m.Next = times(4, nil)
	if s := unary.Load(ctx, m, 4, 2, time.Minute); s.Errors == 0 {
		t.Errorf("cancelled: %+v", s)
	}
	close(release)
}
