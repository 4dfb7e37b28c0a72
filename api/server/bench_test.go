package server

import (
	"bytes"
	"context"
	"net"
	"net/http"
	"net/http/httptest"
	"syscall"
	"testing"
	"time"

	"github.com/grpc-ecosystem/grpc-gateway/v2/runtime"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/protobuf/proto"

	pb "supercluster/api/gen/supercluster/v1"
	"supercluster/region/record"
	"supercluster/registry/access"
)

// benchRegion answers reads and writes without a store: what is left is the cost of the API.
type benchRegion struct {
	*fakeRegion
	rec record.Record
}

func (b *benchRegion) Get(context.Context, record.Key, uint64, record.Level) (record.Record, bool, record.Freshness, error) {
	return b.rec, true, record.Freshness{Positions: record.Positions{Data: 7}}, nil
}

func (b *benchRegion) Propose(context.Context, record.Op) (record.Result, error) {
	return record.Result{Revision: 9, Txn: &record.TxnResult{Succeeded: true, Ops: make([]record.TxnOpResult, 1)}}, nil
}

func benchServer(b *testing.B) *Server {
	b.Helper()
	fake := newFakeRegion(b)
	region := &benchRegion{fakeRegion: fake, rec: record.Record{
		Key: record.Key{Name: "bench/key-000001"}, Value: bytes.Repeat([]byte("v"), 256), CreateRevision: 5, ModifyRevision: 7, Version: 2,
		Attributes: record.Attributes{Format: 4, Writer: record.Writer{Time: time.Now().UnixNano(), Actor: "bench"}},
	}}
	s, err := New(Config{Region: region, Views: &fakeViews{r: fake}, Principal: Dev(), RegionName: "dc1", Node: "n1"})
	if err != nil {
		b.Fatal(err)
	}
	return s
}

var (
	benchPut = &pb.PutConfigRequest{Config: &pb.Config{Name: "bench/key-000001", Value: bytes.Repeat([]byte("v"), 256)}}
	benchGet = &pb.GetConfigRequest{Name: "bench/key-000001", Read: &pb.ReadOptions{Consistency: pb.Consistency_CONSISTENCY_LOCAL}}
)

// BenchmarkCall is a call without a connection: the chain and the handler.
func BenchmarkCall(b *testing.B) {
	s := benchServer(b)
	for _, bb := range []struct {
		method string
		req    proto.Message
	}{
		{pb.ConfigService_GetConfig_FullMethodName, benchGet},
		{pb.ConfigService_PutConfig_FullMethodName, benchPut},
		{pb.ClusterService_GetStatus_FullMethodName, &pb.GetStatusRequest{}},
	} {
		raw, err := proto.Marshal(bb.req)
		if err != nil {
			b.Fatal(err)
		}
		u := s.unaries[bb.method]
		b.Run(u.row.kind+"/"+string(u.row.verb), func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				_, err := s.serveUnary(b.Context(), u, func(e *envelope) error {
					e.size = len(raw)
					return proto.Unmarshal(raw, e.msg.(proto.Message))
				}, nil)
				if err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// BenchmarkSteps shows where the time of a call goes.
func BenchmarkSteps(b *testing.B) {
	s := benchServer(b)
	c := &call{principal: access.Principal{Name: "dev", Role: access.RoleDev}}
	b.Run("decide", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			if err := decide(c, on(access.VerbPut, access.KindConfig, "", "", "bench/key-000001")); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("quota", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			_ = s.quotas.take(classRead, "dev")
		}
	})
	for name, msg := range map[string]proto.Message{"put": benchPut, "get": benchGet} {
		b.Run("validate/"+name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if err := s.validate(msg); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// echo answers PutConfig and GetConfig at once, with what a real answer has.
type echo struct {
	pb.UnimplementedConfigServiceServer
	get *pb.GetConfigResponse
}

func (e echo) GetConfig(context.Context, *pb.GetConfigRequest) (*pb.GetConfigResponse, error) {
	return e.get, nil
}

// BenchmarkWire compares reads over TCP: a bare gRPC server that answers a ready message, the same behind the
// chain, and the real handler. 64 calls are in flight.
func BenchmarkWire(b *testing.B) {
	s := benchServer(b)
	resp, err := s.serveUnary(b.Context(), s.unaries[pb.ConfigService_GetConfig_FullMethodName], func(e *envelope) error {
		proto.Merge(e.msg.(proto.Message), benchGet)
		return nil
	}, nil)
	if err != nil {
		b.Fatal(err)
	}
	ready := echo{get: resp.(*pb.GetConfigResponse)}

	b.Run("bare-echo", func(b *testing.B) {
		g := grpc.NewServer()
		pb.RegisterConfigServiceServer(g, ready)
		benchWire(b, g)
	})
	b.Run("chain-echo", func(b *testing.B) {
		s := benchServer(b)
		s.unaries[pb.ConfigService_GetConfig_FullMethodName].impl = ready
		benchWire(b, s.newGRPC())
	})
	b.Run("get", func(b *testing.B) { benchWire(b, benchServer(b).newGRPC()) })
}

// cpuTime is the processor time of this process: client and server.
func cpuTime(b *testing.B) time.Duration {
	b.Helper()
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

func benchWire(b *testing.B, g *grpc.Server) {
	b.Helper()
	lis, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	done := make(chan error, 1)
	go func() { done <- g.Serve(lis) }()
	conn, err := grpc.NewClient(lis.Addr().String(), grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		b.Fatal(err)
	}
	client := pb.NewConfigServiceClient(conn)
	if _, err := client.GetConfig(b.Context(), benchGet); err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	b.SetParallelism(32)
	b.ResetTimer()
	before := cpuTime(b)
	b.RunParallel(func(p *testing.PB) {
		for p.Next() {
			if _, err := client.GetConfig(b.Context(), benchGet); err != nil {
				b.Error(err)
				return
			}
		}
	})
	b.StopTimer()
	// On a machine that does other things too, the time on its processors says more than the clock.
	b.ReportMetric(float64((cpuTime(b)-before).Nanoseconds())/float64(b.N), "cpu-ns/op")
	_ = conn.Close()
	g.Stop()
	<-done
}

// BenchmarkGateway is one GET through the HTTP handler: into this process, and over a gRPC connection instead.
func BenchmarkGateway(b *testing.B) {
	get := func(b *testing.B, h http.Handler) {
		b.ReportAllocs()
		for b.Loop() {
			w := httptest.NewRecorder()
			r := httptest.NewRequest("GET", "/api/v1/config/bench/key-000001?read.consistency=CONSISTENCY_LOCAL", nil)
			r.Host = "localhost"
			h.ServeHTTP(w, r)
			if w.Code != http.StatusOK {
				b.Fatal(w.Body)
			}
		}
	}
	s := benchServer(b)
	b.Run("in-process", func(b *testing.B) { get(b, s.HTTP()) })
	b.Run("over-a-connection", func(b *testing.B) {
		lis, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			b.Fatal(err)
		}
		g, done := s.newGRPC(), make(chan error, 1)
		go func() { done <- g.Serve(lis) }()
		conn, err := grpc.NewClient(lis.Addr().String(), grpc.WithTransportCredentials(insecure.NewCredentials()))
		if err != nil {
			b.Fatal(err)
		}
		mux := runtime.NewServeMux()
		if err := pb.RegisterConfigServiceHandler(b.Context(), mux, conn); err != nil {
			b.Fatal(err)
		}
		get(b, mux)
		_ = conn.Close()
		g.Stop()
		<-done
	})
}
