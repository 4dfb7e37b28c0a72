package main

import (
	"context"
	"slices"
	"time"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	discoveryv3 "github.com/envoyproxy/go-control-plane/envoy/service/discovery/v3"
	"github.com/rogpeppe/go-internal/testscript"
	statuspb "google.golang.org/genproto/googleapis/rpc/status"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/structpb"

	"supercluster/xds/resources"
)

func cmdProxy(ts *testscript.TestScript, _ bool, args []string) {
	conn, err := grpc.NewClient(ts.Getenv("SUPERCLUSTER_SERVER"), grpc.WithTransportCredentials(insecure.NewCredentials()))
	ts.Check(err)
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	ts.Defer(func() { cancel(); _ = conn.Close() })
	stream, err := discoveryv3.NewAggregatedDiscoveryServiceClient(conn).DeltaAggregatedResources(ctx)
	ts.Check(err)
	metadata, err := structpb.NewStruct(map[string]any{resources.MetadataRole: "edge", resources.MetadataListen: "127.0.0.1:1"})
	ts.Check(err)
	ts.Check(stream.Send(&discoveryv3.DeltaDiscoveryRequest{
		Node: &corev3.Node{Id: args[0], Metadata: metadata}, TypeUrl: resources.Cluster.URL(), ResourceNamesSubscribe: []string{"*"},
	}))
	ts.Value(stateKey{}).(*state).proxy = stream
}

func cmdACK(ts *testscript.TestScript, _ bool, args []string) {
	for !answer(ts, args[0], nil) { // the view that it connected to may be older than what the script wrote
	}
}

func cmdNACK(ts *testscript.TestScript, _ bool, args []string) {
	if !answer(ts, args[0], status.New(codes.Internal, args[1]).Proto()) {
		ts.Fatalf("the response that was rejected does not have cluster %s", args[0])
	}
}

// answer waits for a response and accepts it, or rejects it for a reason; it reports whether a cluster is in it.
func answer(ts *testscript.TestScript, cluster string, reason *statuspb.Status) bool {
	stream := ts.Value(stateKey{}).(*state).proxy
	response, err := stream.Recv()
	ts.Check(err)
	ts.Check(stream.Send(&discoveryv3.DeltaDiscoveryRequest{TypeUrl: response.GetTypeUrl(), ResponseNonce: response.GetNonce(), ErrorDetail: reason}))
	ts.Setenv("VERSION", response.GetSystemVersionInfo())
	return slices.ContainsFunc(response.GetResources(), func(r *discoveryv3.Resource) bool { return r.GetName() == cluster })
}
