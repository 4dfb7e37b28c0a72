package server

import (
	"context"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/keepalive"

	"supercluster/internal/fault"
)

// unaryMethod is a registered method as this process can call it without a connection.
type unaryMethod struct {
	row  *row
	impl any
	call grpc.MethodHandler
}

// RegisterService registers a service with every method behind the chain. A method without a row in methods.go
// makes Run fail.
func (s *Server) RegisterService(desc *grpc.ServiceDesc, impl any) {
	wrapped := *desc
	wrapped.Methods = make([]grpc.MethodDesc, len(desc.Methods))
	for i, m := range desc.Methods {
		full := "/" + desc.ServiceName + "/" + m.MethodName
		u := &unaryMethod{row: s.rowFor(full), impl: impl, call: m.Handler}
		s.unaries[full] = u
		wrapped.Methods[i] = grpc.MethodDesc{
			MethodName: m.MethodName,
			Handler: func(_ any, ctx context.Context, decode func(any) error, _ grpc.UnaryServerInterceptor) (any, error) {
				return s.serveUnary(ctx, u, func(e *envelope) error { return decode(e) }, nil)
			},
		}
	}
	wrapped.Streams = make([]grpc.StreamDesc, len(desc.Streams))
	for i, d := range desc.Streams {
		r, inner := s.rowFor("/"+desc.ServiceName+"/"+d.StreamName), d.Handler
		d.Handler = func(srv any, stream grpc.ServerStream) error {
			return s.serveStream(r, stream, nil, func(stream grpc.ServerStream) error { return inner(srv, stream) })
		}
		wrapped.Streams[i] = d
	}
	s.services = append(s.services, service{desc: &wrapped, impl: impl})
}

// service is a registered service, its methods behind the chain.
type service struct {
	desc *grpc.ServiceDesc
	impl any
}

// newGRPC makes the gRPC server of a run. It is not made before, because a gRPC server starts its workers at once.
func (s *Server) newGRPC() *grpc.Server {
	g := grpc.NewServer(serverOptions(s.cfg)...)
	for _, one := range s.services {
		g.RegisterService(one.desc, one.impl)
	}
	return g
}

// GetServiceInfo lists the registered services, for reflection.
func (s *Server) GetServiceInfo() map[string]grpc.ServiceInfo {
	all := make(map[string]grpc.ServiceInfo, len(s.services))
	for _, one := range s.services {
		info := grpc.ServiceInfo{Metadata: one.desc.Metadata}
		for _, m := range one.desc.Methods {
			info.Methods = append(info.Methods, grpc.MethodInfo{Name: m.MethodName})
		}
		for _, d := range one.desc.Streams {
			info.Methods = append(info.Methods, grpc.MethodInfo{
				Name: d.StreamName, IsClientStream: d.ClientStreams, IsServerStream: d.ServerStreams,
			})
		}
		all[one.desc.ServiceName] = info
	}
	return all
}

// rowFor gives the row of a method to register. One that has none is remembered and denied to everybody.
func (s *Server) rowFor(full string) *row {
	r, ok := rowOf(full)
	if !ok {
		s.missing = append(s.missing, full)
		r = row{method: full, maxBytes: small}
	}
	s.rows[full] = &r
	return &r
}

func (s *Server) checkTable() error {
	if len(s.missing) > 0 {
		return fault.New(fault.Internal, "methods without a row in the table of methods: %v", s.missing)
	}
	return nil
}

// Bounds of a connection. One message is bounded again by its method's row.
const (
	maxMessage       = 4 << 20
	maxHeaderList    = 64 << 10
	maxStreams       = 1000
	streamWorkers    = 256
	handshakeTimeout = 10 * time.Second
	windowSize       = 1 << 20
)

func serverOptions(cfg Config) []grpc.ServerOption {
	opts := []grpc.ServerOption{
		grpc.MaxRecvMsgSize(maxMessage),
		grpc.MaxHeaderListSize(maxHeaderList),
		grpc.MaxConcurrentStreams(maxStreams),
		grpc.ConnectionTimeout(handshakeTimeout),
		// Workers keep their grown stacks from call to call; above their number each call has a goroutine of its own.
		grpc.NumStreamWorkers(streamWorkers),
		// Fixed windows: the estimator that they switch off sends a ping for each read.
		grpc.InitialWindowSize(windowSize),
		grpc.InitialConnWindowSize(windowSize),
		grpc.KeepaliveEnforcementPolicy(keepalive.EnforcementPolicy{MinTime: 5 * time.Second, PermitWithoutStream: true}),
		grpc.KeepaliveParams(keepalive.ServerParameters{Time: 30 * time.Second, Timeout: 10 * time.Second}),
	}
	if cfg.TLS != nil {
		opts = append(opts, grpc.Creds(credentials.NewTLS(cfg.TLS)))
	}
	opts = append(opts, cfg.ServerOptions...)
	return append(opts, grpc.ForceServerCodecV2(newCodec(cfg.Codec)))
}
