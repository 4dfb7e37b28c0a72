// Command echo answers a config put or get with what the real server would answer, and does nothing else: the
// floor of a gRPC call with messages of the same size. Reads pass the same interceptors as in the server.
package main

import (
	"context"
	"flag"
	"log"
	"net"

	"google.golang.org/grpc"

	pb "supercluster/api/gen/supercluster/v1"
)

type echo struct {
	pb.UnimplementedConfigServiceServer
}

func (echo) PutConfig(_ context.Context, r *pb.PutConfigRequest) (*pb.PutConfigResponse, error) {
	return &pb.PutConfigResponse{Header: &pb.WriteHeader{Revision: 1}, Config: &pb.Config{Name: r.Config.Name}}, nil
}

var value = make([]byte, 128)

func (echo) GetConfig(_ context.Context, r *pb.GetConfigRequest) (*pb.GetConfigResponse, error) {
	return &pb.GetConfigResponse{Header: &pb.ReadHeader{Revision: 1}, Config: &pb.Config{Name: r.Name, Value: value}}, nil
}

func main() {
	listen := flag.String("listen", "127.0.0.1:0", "address")
	flag.Parse()
	l, err := net.Listen("tcp", *listen)
	if err != nil {
		log.Fatal(err)
	}
	s := grpc.NewServer()
	pb.RegisterConfigServiceServer(s, echo{})
	log.Fatal(s.Serve(l))
}
