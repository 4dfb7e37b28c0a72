// Package clients tests the server with real gRPC clients that find a service by xds:///: grpc-go, Node's
// grpc-js-xds and Python's grpcio, each as a process of its own with the bootstrap that `proxy bootstrap --grpc`
// makes. Program goclient is the one of grpc-go; ask is that of the README.
//
// A client that is not installed is skipped with one loud line, or fails the test when
// SUPERCLUSTER_REQUIRE_CLIENTS is set.
package clients
