package main

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strconv"
	"sync"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	_ "google.golang.org/grpc/xds" // the resolver of xds:///

	"supercluster/chaos/clients/raw"
)

const requestWithin = 5 * time.Second

// serveBackend answers every request with its address.
func serveBackend(address string) error {
	host, port, err := net.SplitHostPort(address)
	if err != nil {
		return err
	}
	n, err := strconv.Atoi(port)
	if err != nil {
		return err
	}
	l, err := net.Listen("tcp", net.JoinHostPort(host, strconv.Itoa(n+1)))
	if err != nil {
		return err
	}
	server := grpc.NewServer(grpc.ForceServerCodec(raw.Codec{}), grpc.UnknownServiceHandler(func(_ any, stream grpc.ServerStream) error {
		var request []byte
		if err := stream.RecvMsg(&request); err != nil {
			return err
		}
		answer := []byte(host)
		return stream.SendMsg(&answer)
	}))
	failed := make(chan error, 2)
	go func() { failed <- server.Serve(l) }()
	web := &http.Server{Addr: address, ReadHeaderTimeout: 5 * time.Second, Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		fmt.Fprint(w, host)
	})}
	go func() { failed <- web.ListenAndServe() }()
	return <-failed
}

// sendLoad sends requests at a rate, whatever the answers take, and prints of each: who sent it, when (ns), 1 if it was
// answered, by whom or why not.
func sendLoad(ctx context.Context, url string, rate int) error {
	conn, err := grpc.NewClient("xds:///echo", grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		return err
	}
	defer conn.Close()
	client := &http.Client{Timeout: requestWithin, Transport: &http.Transport{MaxIdleConnsPerHost: 256}}
	var mu sync.Mutex
	note := func(who string, at time.Time, text string, err error) {
		mu.Lock()
		defer mu.Unlock()
		if err != nil {
			fmt.Fprintf(os.Stdout, "%s %d 0 %q\n", who, at.UnixNano(), err.Error())
			return
		}
		fmt.Fprintf(os.Stdout, "%s %d 1 %q\n", who, at.UnixNano(), text)
	}
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	began, sent := time.Now(), 0
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
		for due := int(time.Since(began).Seconds() * float64(rate)); sent < due; sent++ {
			go func() {
				at := time.Now()
				text, err := get(client, url)
				note("envoy", at, text, err)
			}()
			go func() {
				at := time.Now()
				call, cancel := context.WithTimeout(ctx, requestWithin)
				defer cancel()
				var who []byte
				err := conn.Invoke(call, "/demo.Echo/Who", &[]byte{}, &who, grpc.ForceCodec(raw.Codec{}))
				note("grpc", at, string(who), err)
			}()
		}
	}
}

func get(client *http.Client, url string) (string, error) {
	request, err := http.NewRequest(http.MethodGet, url, nil)
	if err != nil {
		return "", err
	}
	request.Host = host
	response, err := client.Do(request)
	if err != nil {
		return "", err
	}
	defer response.Body.Close()
	body, err := io.ReadAll(io.LimitReader(response.Body, 1024))
	if err == nil && response.StatusCode != http.StatusOK {
		err = fmt.Errorf("%s: %s", response.Status, body)
	}
	return string(body), err
}
