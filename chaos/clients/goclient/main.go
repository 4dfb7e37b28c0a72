// Command goclient is a real gRPC client of Go: it calls xds:///web until both backends answered, then until only the
// second one does.
package main

import (
	"context"
	"fmt"
	"os"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	_ "google.golang.org/grpc/xds" // the resolver of xds:///

	"supercluster/chaos/clients/raw"
)

func main() {
	if err := run(); err != nil {
		fmt.Println(err)
		os.Exit(1)
	}
}

func run() error {
	conn, err := grpc.NewClient("xds:///web", grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		return err
	}
	defer conn.Close()
	deadline := time.Now().Add(30 * time.Second)
	seen, streak := map[string]bool{}, 0
	for time.Now().Before(deadline) {
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		var who []byte
		err := conn.Invoke(ctx, "/demo.Echo/Who", &[]byte{}, &who, grpc.WaitForReady(true), grpc.ForceCodec(raw.Codec{}))
		cancel()
		if err != nil {
			return fmt.Errorf("call failed: %w", err)
		}
		if len(seen) < 2 {
			if seen[string(who)] = true; len(seen) == 2 {
				fmt.Println("both")
			}
			continue
		}
		if streak++; string(who) != "b2" {
			streak = 0
		}
		if streak == 50 {
			fmt.Println("moved")
			return nil
		}
	}
	return fmt.Errorf("gave up: saw %v, streak %d", seen, streak)
}
