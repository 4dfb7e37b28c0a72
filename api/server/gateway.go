package server

import (
	"context"
	"errors"
	"net/http"
	"net/url"
	"strings"
	"sync"

	"github.com/grpc-ecosystem/grpc-gateway/v2/runtime"
	"github.com/grpc-ecosystem/grpc-gateway/v2/utilities"
	grpcstatus "google.golang.org/grpc/status"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"

	pb "supercluster/api/gen/supercluster/v1"
	"supercluster/api/status"
	"supercluster/internal/fault"
)

// jsonForm is how messages look over HTTP: the names of the proto files, defaults shown, unknown fields refused.
var jsonForm = &runtime.JSONPb{
	MarshalOptions: protojson.MarshalOptions{UseProtoNames: true, EmitDefaultValues: true},
}

// parseStrictly sets the parser of query parameters, which the gateway keeps once for the whole process: `dev` runs the
// servers of several regions in one.
var parseStrictly = sync.OnceFunc(func() { runtime.NewServeMux(runtime.SetQueryParameterParser(strictQuery{})) })

// newGateway makes the handler of /api/v1: it decodes, calls this process's own chain, and encodes.
func (s *Server) newGateway() (http.Handler, error) {
	parseStrictly()
	mux := runtime.NewServeMux(
		runtime.WithMarshalerOption(runtime.MIMEWildcard, jsonForm),
		runtime.WithErrorHandler(gatewayError),
		runtime.WithRoutingErrorHandler(routingError),
		runtime.WithForwardResponseOption(setETag),
		runtime.WithForwardResponseOption(setReadHeaders),
		runtime.WithWriteContentLength(),
		// Names of config entries may hold any character; %2F is a slash in a name like any other.
		runtime.WithUnescapingMode(runtime.UnescapingModeAllCharacters),
		// A form that posts, and a header that changes the method, are ways in for foreign pages.
		runtime.WithDisablePathLengthFallback(),
		runtime.WithDisableHTTPMethodOverride(),
		runtime.WithIncomingHeaderMatcher(func(string) (string, bool) { return "", false }),
		runtime.WithOutgoingHeaderMatcher(func(string) (string, bool) { return "", false }),
	)
	conn, ctx := inProcess{s: s}, context.Background()
	err := errors.Join(
		pb.RegisterTenantServiceHandlerClient(ctx, mux, pb.NewTenantServiceClient(conn)),
		pb.RegisterRegistryServiceHandlerClient(ctx, mux, pb.NewRegistryServiceClient(conn)),
		pb.RegisterConfigServiceHandlerClient(ctx, mux, pb.NewConfigServiceClient(conn)),
		pb.RegisterClusterServiceHandlerClient(ctx, mux, pb.NewClusterServiceClient(conn)),
		pb.RegisterProxyServiceHandlerClient(ctx, mux, pb.NewProxyServiceClient(conn)),
		pb.RegisterFederationServiceHandlerClient(ctx, mux, pb.NewFederationServiceClient(conn)),
	)
	if err != nil {
		return nil, fault.Wrap(fault.Internal, err, "the HTTP form of the API cannot be made")
	}
	return mux, nil
}

func setETag(_ context.Context, w http.ResponseWriter, msg proto.Message) error {
	if tag := etag(msg); tag != "" {
		w.Header().Set("ETag", tag)
	}
	return nil
}

// gatewayError answers what the chain or the gateway's own decoding refused.
func gatewayError(ctx context.Context, _ *runtime.ServeMux, _ runtime.Marshaler, w http.ResponseWriter, r *http.Request, err error) {
	id := ""
	if h, herr := httpCallFrom(ctx); herr == nil {
		id = h.requestID
	}
	writeError(w, r, decodeFault(err), id)
}

// decodeFault names what is wrong with a body that does not decode.
func decodeFault(err error) error {
	var tooLarge *http.MaxBytesError
	if errors.As(err, &tooLarge) {
		return bodyTooLarge()
	}
	st, ok := grpcstatus.FromError(err)
	if !ok || len(st.Details()) > 0 {
		return err
	}
	text := st.Message()
	if strings.Contains(text, "request body too large") {
		return bodyTooLarge()
	}
	if strings.Contains(text, "i/o timeout") {
		return fault.New(fault.Deadline, "the request did not arrive in time")
	}
	if err, ok := parameterFault(text); ok {
		return err
	}
	if f, ok := fault.As(status.FromGRPC(err)); ok && f.Kind == fault.Invalid {
		// protojson varies its spacing on purpose; a message for people should not.
		text = strings.ReplaceAll(strings.TrimPrefix(text, "proto:\u00a0"), "\u00a0", " ")
		return fault.Wrap(fault.Invalid, err, "%s", strings.TrimPrefix(text, "proto: ")).
			WithHint("fields and their types are described at /openapi.yaml")
	}
	return err
}

func bodyTooLarge() error {
	return fault.New(fault.TooLarge, "the request body is larger than %d bytes", maxBody)
}

// routingError answers paths and methods that the API does not have.
func routingError(ctx context.Context, _ *runtime.ServeMux, _ runtime.Marshaler, w http.ResponseWriter, r *http.Request, code int) {
	id := ""
	if h, err := httpCallFrom(ctx); err == nil {
		id = h.requestID
	}
	switch code {
	case http.StatusMethodNotAllowed:
		body := status.NewBody(fault.New(fault.Unsupported, "%s is not a method of %s", r.Method, r.URL.Path).
			WithHint("the API is described at /openapi.yaml"), id)
		writeJSON(w, code, body)
	case http.StatusBadRequest:
		writeError(w, r, fault.New(fault.Invalid, "the path %q cannot be read", r.URL.Path), id)
	default:
		writeError(w, r, fault.New(fault.NotFound, "there is nothing at %s", r.URL.Path).
			WithHint("the API is described at /openapi.yaml"), id)
	}
}

// strictQuery refuses query parameters that the request does not have; the gateway would ignore a misspelt one.
type strictQuery struct{ runtime.DefaultQueryParser }

func (q strictQuery) Parse(msg proto.Message, values url.Values, filter *utilities.DoubleArray) error {
	for key := range values {
		if !hasField(msg.ProtoReflect().Descriptor(), key) {
			return unknownParameter(key)
		}
	}
	return q.DefaultQueryParser.Parse(msg, values, filter)
}

// The gateway passes on only the text of what a query parser says, so the parameter's name is read back from it.
const unknownPrefix = "there is no query parameter "

func unknownParameter(name string) error { return errors.New(unknownPrefix + name) }

// parameterFault gives the field of an unknownParameter.
func parameterFault(text string) (*fault.Error, bool) {
	name, ok := strings.CutPrefix(text, unknownPrefix)
	if !ok {
		return nil, false
	}
	return fault.Field(name, "there is no such query parameter").WithHint("parameters are described at /openapi.yaml"), true
}

// hasField reports whether a dotted path names a field of a message.
func hasField(d protoreflect.MessageDescriptor, path string) bool {
	for part := range strings.SplitSeq(path, ".") {
		if d == nil {
			return false
		}
		f := d.Fields().ByName(protoreflect.Name(part))
		if f == nil {
			f = d.Fields().ByJSONName(part)
		}
		if f == nil {
			return false
		}
		d = f.Message()
	}
	return true
}
