package fleet

import (
	"context"
	"os"
	"testing"
	"time"

	pb "supercluster/api/gen/supercluster/v1"
	"supercluster/chaos/wan"
)

// binary gives the server, or skips.
func binary(t *testing.T) string {
	t.Helper()
	path := os.Getenv("SUPERCLUSTER_BINARY")
	if path == "" {
		if os.Getenv(wan.RequireEnv) != "" {
			t.Fatal("SUPERCLUSTER_BINARY names no server: run `make test`")
		}
		t.Skip("SKIP: SUPERCLUSTER_BINARY names no server: run `make test`")
	}
	return path
}

// Regions join over both forms of the network, and what is written in one is in the others, later than the line allows.
func TestJoin(t *testing.T) {
	path := binary(t)
	for _, form := range []struct {
		name string
		make func(...string) (*wan.WAN, error)
	}{{"namespaces", wan.New}, {"proxies", wan.NewProxy}} {
		t.Run(form.name, func(t *testing.T) {
			if err := wan.Unavailable(); err != nil && form.name == "namespaces" {
				if os.Getenv(wan.RequireEnv) != "" {
					t.Fatal(err)
				}
				t.Skip("SKIP: no regions in namespaces:", err)
			}
			sites := []string{"dc1", "dc2"}
			w, err := form.make(sites...)
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(w.Close)
			const delay = 20 * time.Millisecond
			w.Both("dc1", "dc2", wan.Line{Delay: delay})
			ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
			defer cancel()
			f, err := Start(ctx, w, path, sites, 1)
			if err != nil {
				t.Fatal(err)
			}
			defer f.Close()
			if err := f.Join(ctx); err != nil {
				t.Fatal(err)
			}
			converges(ctx, t, f, delay)
		})
	}
}

func converges(ctx context.Context, t *testing.T, f *Fleet, delay time.Duration) {
	t.Helper()
	a, b := f.Regions[0], f.Regions[1]
	watch, err := pb.NewWatchServiceClient(b.Conns[0]).Watch(ctx, &pb.WatchRequest{Kind: pb.Kind_KIND_CONFIG, Prefix: "dc1/"})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := watch.Header(); err != nil {
		t.Fatal(err)
	}
	sent := time.Now()
	if _, err := pb.NewConfigServiceClient(a.Conns[0]).PutConfig(ctx, &pb.PutConfigRequest{Config: &pb.Config{Name: "dc1/x", Value: []byte("1")}}); err != nil {
		t.Fatal(err)
	}
	message, err := watch.Recv()
	for err == nil && len(message.Events) == 0 {
		message, err = watch.Recv()
	}
	if err != nil {
		t.Fatal(err)
	}
	if took := time.Since(sent); took < delay || message.Events[0].Name != "dc1/x" {
		t.Errorf("%q came after %v, and the line takes %v", message.Events[0].Name, took, delay)
	}
	for _, r := range f.Regions {
		if err := r.Equal(ctx, 10*time.Second); err != nil {
			t.Error(err)
		}
	}
}
