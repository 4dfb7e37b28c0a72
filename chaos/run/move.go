package main

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"slices"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	pb "supercluster/api/gen/supercluster/v1"
	"supercluster/internal/procs"
)

const (
	// moves is how often the server that Envoy is connected to is killed, whoever leads.
	moves = 3
	// followWithin bounds how long after a kill Envoy goes by what was changed then. In it are the time until it connects
	// again, an election, and 3 s when the dead node was to check the new backend.
	followWithin = 10 * time.Second
	// settled is the time over which all requests must have gone where they should.
	settled = 100 * time.Millisecond
)

// serve starts one more backend, which answers its name, and gives both.
func (p *proxy) serve() (name string, port uint32, err error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", 0, err
	}
	name = fmt.Sprintf("web-%d", len(p.backends)+1)
	answer := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, name) })
	server := &http.Server{Handler: answer, ReadHeaderTimeout: time.Second}
	p.backends = append(p.backends, server)
	go func() { _ = server.Serve(l) }()
	return name, uint32(l.Addr().(*net.TCPAddr).Port), nil
}

// moveEnvoy kills the server that Envoy is connected to, and while that is down puts another backend in the place of the
// one that serves. An Envoy that stays without a server would go on with what it has, and fail no request.
func (r *runner) moveEnvoy(ctx context.Context) error {
	if r.proxy == nil {
		return nil
	}
	for n := range moves {
		from, err := r.serverOfEnvoy(ctx, "")
		if err != nil {
			return err
		}
		i := slices.Index(r.region.Nodes, from)
		if err := r.region.Servers[i].Kill(); err != nil {
			return err
		}
		killed := time.Now()
		name, err := r.replaceBackend(ctx)
		if err != nil {
			return err
		}
		took := time.Since(killed)
		to, err := r.serverOfEnvoy(ctx, from)
		if err != nil {
			return err
		}
		r.Check(took <= followWithin, "Envoy's server %s was killed (%d of %d): it went to %s and served %s, registered since, alone after %v",
			from, n+1, moves, to, name, took.Round(time.Millisecond))
		if err := r.region.Restart(i); err != nil {
			return err
		}
		if err := r.waitAll(ctx); err != nil {
			return err
		}
	}
	return nil
}

// serverOfEnvoy waits until a node, not the one that is dead, says that Envoy is connected to it.
func (r *runner) serverOfEnvoy(ctx context.Context, dead string) (node string, err error) {
	ctx, cancel := context.WithTimeout(ctx, followWithin)
	defer cancel()
	return node, procs.WaitUntil(ctx, "Envoy connected to a server that lives", func(ctx context.Context) bool {
		for _, conn := range r.writers.servers.Conns {
			asking, stop := context.WithTimeout(ctx, tryFor)
			answer, err := pb.NewProxyServiceClient(conn).GetProxy(asking, &pb.GetProxyRequest{Id: envoyID})
			stop()
			if err != nil {
				continue
			}
			for _, p := range answer.Proxies {
				if node = p.Node; node != dead {
					return true
				}
			}
		}
		return false
	})
}

// replaceBackend registers a new backend, takes the old one away when the new one answers through Envoy, and waits until
// it alone does. The old one lives on: a request that comes to it late is no failure.
func (r *runner) replaceBackend(ctx context.Context) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, 2*followWithin)
	defer cancel()
	p := r.proxy
	old := p.serving
	name, port, err := p.serve()
	if err != nil {
		return "", err
	}
	err = r.ask(func(ctx context.Context, registry pb.RegistryServiceClient) error {
		_, err := registry.RegisterInstance(ctx, instance(name, port))
		return err
	})
	if err != nil {
		return "", fmt.Errorf("register %s: %w", name, err)
	}
	begin := time.Now()
	err = procs.WaitUntil(ctx, "an answer of "+name+" through Envoy", func(context.Context) bool { return p.load.Since(begin, name) > 0 })
	if err != nil {
		return "", err
	}
	err = r.ask(func(ctx context.Context, registry pb.RegistryServiceClient) error {
		_, err := registry.DeregisterInstance(ctx, &pb.DeregisterInstanceRequest{Service: "web", Id: old})
		if status.Code(err) == codes.NotFound {
			return nil // an attempt before, whose answer was lost
		}
		return err
	})
	if err != nil {
		return "", fmt.Errorf("deregister %s: %w", old, err)
	}
	p.serving = name
	return name, procs.WaitUntil(ctx, "no answer of "+old+" through Envoy", func(context.Context) bool {
		c := p.load.Between(time.Now().Add(-settled), time.Now())
		return c.Total > 0 && c.Backends[name] == c.Total
	})
}

// ask asks one server after the other until one answers.
func (r *runner) ask(do func(context.Context, pb.RegistryServiceClient) error) error {
	asked := 0
	return r.writers.servers.Ask(func(n int) int { asked++; return asked % n }, func(ctx context.Context, conn *grpc.ClientConn) error {
		return do(ctx, pb.NewRegistryServiceClient(conn))
	})
}
