package main

import (
	"fmt"
	"net"
	"net/http"
	"os"
	"time"

	"google.golang.org/grpc"

	"supercluster/chaos/clients/raw"
)

// serveBackend is one backend: it answers with its HTTP address, by HTTP there and, if there is a second address, by gRPC on that. It is
// healthy as long as it runs.
func serveBackend(address, grpcAddress string) {
	if grpcAddress != "" {
		go func() { fail(serveEcho(address, grpcAddress)) }()
	}
	mux := http.NewServeMux()
	mux.HandleFunc("/healthz", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprintln(w, "ok") })
	mux.HandleFunc("/", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, address) })
	server := &http.Server{Addr: address, Handler: mux, ReadHeaderTimeout: 5 * time.Second}
	fail(server.ListenAndServe())
}

func fail(err error) {
	fmt.Fprintln(os.Stderr, "backend:", err)
	os.Exit(1)
}

// serveEcho answers every call with a name.
func serveEcho(name, address string) error {
	l, err := net.Listen("tcp", address)
	if err != nil {
		return err
	}
	return grpc.NewServer(grpc.ForceServerCodec(raw.Codec{}), grpc.UnknownServiceHandler(func(_ any, stream grpc.ServerStream) error {
		var request []byte
		if err := stream.RecvMsg(&request); err != nil {
			return err
		}
		answer := []byte(name)
		return stream.SendMsg(&answer)
	})).Serve(l)
}
