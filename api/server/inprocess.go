package server

import (
	"context"

	"google.golang.org/grpc"
	"google.golang.org/protobuf/proto"

	"supercluster/internal/fault"
)

// inProcess is the client connection that grpc-gateway calls through: into the same chain and the same handlers,
// without a socket. It copies requests and answers, as gateway and handlers may both keep what they made.
type inProcess struct{ s *Server }

type httpCallKey struct{}

// httpCallFrom finds the HTTP request behind a call of the gateway. Its absence would mean a caller that passed
// by the HTTP handler and its guard.
func httpCallFrom(ctx context.Context) (*httpCall, error) {
	h, ok := ctx.Value(httpCallKey{}).(*httpCall)
	if !ok {
		return nil, fault.New(fault.Internal, "a call came in without its HTTP request")
	}
	return h, nil
}

// Invoke calls a unary method. The options that read headers and trailers are ignored: the API sends none there.
func (p inProcess) Invoke(ctx context.Context, method string, args, reply any, _ ...grpc.CallOption) error {
	h, err := httpCallFrom(ctx)
	if err != nil {
		return err
	}
	u, ok := p.s.unaries[method]
	if !ok {
		return fault.New(fault.Unsupported, "there is no method %s", method)
	}
	in := args.(proto.Message)
	if err := applyConditions(in, h.header); err != nil {
		return p.s.finish(ctx, &call{row: u.row, http: h, requestID: h.requestID}, nil, err)
	}
	resp, err := p.s.serveUnary(ctx, u, func(e *envelope) error {
		e.size = proto.Size(in)
		proto.Merge(e.msg.(proto.Message), in)
		return nil
	}, h)
	if err != nil {
		return err
	}
	proto.Merge(reply.(proto.Message), resp.(proto.Message))
	return nil
}

// NewStream is never called: the one stream over HTTP, Watch, is served by watchHTTP.
func (p inProcess) NewStream(context.Context, *grpc.StreamDesc, string, ...grpc.CallOption) (grpc.ClientStream, error) {
	return nil, fault.New(fault.Unsupported, "streams over HTTP are served one by one")
}
