package server

import (
	"bytes"
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"os"
	"slices"
	"strings"
	"testing"

	discoveryv3 "github.com/envoyproxy/go-control-plane/envoy/service/discovery/v3"
	"google.golang.org/grpc"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/emptypb"

	pb "supercluster/api/gen/supercluster/v1"
	"supercluster/internal/fault"
	"supercluster/registry/access"
)

var update = flag.Bool("update", false, "write golden files")

// withADS registers xDS as the composition root does.
func withADS(t testing.TB) *Server {
	t.Helper()
	region := newFakeRegion(t)
	s, err := New(Config{Region: region, Views: &fakeViews{r: region}, Principal: Dev()})
	if err != nil {
		t.Fatal(err)
	}
	discoveryv3.RegisterAggregatedDiscoveryServiceServer(s, discoveryv3.UnimplementedAggregatedDiscoveryServiceServer{})
	return s
}

func TestTable_EveryRegisteredMethodHasARow(t *testing.T) {
	s := withADS(t)
	if err := s.checkTable(); err != nil {
		t.Error(err)
	}
	registered := map[string]bool{}
	for service, info := range s.GetServiceInfo() {
		for _, m := range info.Methods {
			full := "/" + service + "/" + m.Name
			registered[full] = true
			if _, ok := rowOf(full); !ok {
				t.Errorf("%s has no row in methods.go", full)
			}
		}
	}
	for _, r := range methodTable {
		if !registered[r.method] {
			t.Errorf("the row of %s is of no registered method", r.method)
		}
		if r.open != strings.HasPrefix(r.method, "/grpc.health.") {
			t.Errorf("%s: open is %v; health alone asks nobody", r.method, r.open)
		}
		if !r.open && (!slices.Contains(access.Verbs(), r.verb) || !slices.Contains(access.Kinds(), r.kind)) {
			t.Errorf("%s: verb %q or kind %q is not known to the decision function", r.method, r.verb, r.kind)
		}
		if r.maxBytes <= 0 || r.maxBytes > maxMessage {
			t.Errorf("%s: %d bytes is no bound below that of the listener", r.method, r.maxBytes)
		}
	}
}

// A method that somebody registers without a row stops the start and is denied to everybody until then.
func TestTable_AMissingRowStopsTheStart(t *testing.T) {
	s := withADS(t)
	s.RegisterService(&grpc.ServiceDesc{
		ServiceName: "test.Extra", HandlerType: (*any)(nil),
		Methods: []grpc.MethodDesc{{MethodName: "Do", Handler: pb.TenantService_ServiceDesc.Methods[0].Handler}},
	}, struct{}{})
	_, err := s.serveUnary(t.Context(), s.unaries["/test.Extra/Do"], func(*envelope) error { return nil }, nil)
	if kind := fault.KindOf(fromGRPC(err)); kind != fault.Denied {
		t.Errorf("a method without a row answers dev with %v", err)
	}
	lis := [2]net.Listener{}
	for i := range lis {
		if lis[i], err = net.Listen("tcp", "127.0.0.1:0"); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.Run(t.Context(), lis[0], lis[1]); err == nil || !strings.Contains(err.Error(), "/test.Extra/Do") {
		t.Errorf("Run = %v, want an error that names the method", err)
	}
}

// The whole matrix, every registered method by every role, as a golden file that people review.
func TestAuthorization_Matrix(t *testing.T) {
	roles := []access.Role{access.RoleAnonymous, access.RoleProxy, access.RoleReader, access.RoleOperator, access.RoleDev}
	var methods []string
	for _, r := range methodTable {
		methods = append(methods, r.method)
	}
	rows := map[string][]string{}
	for _, role := range roles {
		h := newMatrixHarness(t, role)
		for _, m := range methods {
			rows[m] = append(rows[m], h.tries(t, m))
		}
	}
	var b bytes.Buffer
	fmt.Fprintf(&b, "%-90s %-16s %-8s %-8s %-9s %s\n", "method", "anonymous", "proxy", "reader", "operator", "dev")
	for _, m := range methods {
		r := rows[m]
		fmt.Fprintf(&b, "%-90s %-16s %-8s %-8s %-9s %s\n", m, r[0], r[1], r[2], r[3], r[4])
	}
	const golden = "testdata/authorization.txt"
	if *update {
		if err := os.WriteFile(golden, b.Bytes(), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(golden)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(want, b.Bytes()) {
		t.Errorf("the matrix changed (review it, then -update):\n%s", b.String())
	}
}

type matrixHarness struct {
	s    *Server
	conn *grpc.ClientConn
}

func newMatrixHarness(t *testing.T, role access.Role) *matrixHarness {
	h := &harness{region: newFakeRegion(t)}
	h.views = &fakeViews{r: h.region}
	s, err := New(Config{Region: h.region, Views: h.views, Principal: as(role), RegionName: "dc1", Node: "n1"})
	if err != nil {
		t.Fatal(err)
	}
	discoveryv3.RegisterAggregatedDiscoveryServiceServer(s, discoveryv3.UnimplementedAggregatedDiscoveryServiceServer{})
	h.Server = s
	h.serve(t)
	return &matrixHarness{s: s, conn: h.conn}
}

// tries calls a method with an empty request, over the wire, and says whether the caller got past the door. What
// is behind it may answer anything else.
func (m *matrixHarness) tries(t *testing.T, method string) string {
	t.Helper()
	var err error
	if _, unary := m.s.unaries[method]; unary {
		err = m.conn.Invoke(t.Context(), method, &emptypb.Empty{}, &emptypb.Empty{})
	} else {
		err = m.firstAnswer(t, method)
	}
	switch kind := fault.KindOf(fromGRPC(err)); {
	case err == nil:
		return "allow"
	case kind == fault.Unauthenticated:
		return "unauthenticated"
	case kind == fault.Denied:
		return "deny"
	default:
		return "allow"
	}
}

// firstAnswer opens a stream, sends one message and gives its first error, or nil for an answer.
func (m *matrixHarness) firstAnswer(t *testing.T, method string) error {
	t.Helper()
	stream, err := m.conn.NewStream(t.Context(), &grpc.StreamDesc{ServerStreams: true, ClientStreams: true}, method)
	if err != nil {
		return err
	}
	var first proto.Message = &emptypb.Empty{}
	if method == pb.WatchService_Watch_FullMethodName {
		first = &pb.WatchRequest{Tenant: "none"} // refused behind the door, where a good one would stay silent
	}
	// A server that refuses may have ended the stream before this is sent: io.EOF says only that RecvMsg tells why.
	if err := stream.SendMsg(first); err != nil && !errors.Is(err, io.EOF) {
		return err
	}
	if err := stream.CloseSend(); err != nil {
		return err
	}
	return stream.RecvMsg(&emptypb.Empty{})
}
