package main

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/pprof"
	"sync"
	"time"

	"supercluster/api/server"
	"supercluster/internal/config"
	"supercluster/internal/fault"
)

// listeners are the TCP ports of a process, opened before anything runs, so that one in use is found at once.
//
// Those of the API are closed again until it serves: who connects to a node that is still starting is refused and
// goes to another one, instead of waiting in a queue that nobody reads.
type listeners struct {
	http, grpc, raft, probe, admin net.Listener
}

// release closes the ports of the API until reopen.
func (l *listeners) release() error { return errors.Join(l.http.Close(), l.grpc.Close()) }

// reopen opens the ports of the API where they were.
func (l *listeners) reopen(ctx context.Context) (err error) {
	for _, one := range []struct {
		at        *net.Listener
		key, flag string
	}{{&l.http, "listen.http", "--http"}, {&l.grpc, "listen.grpc", "--grpc"}} {
		addr := (*one.at).Addr().String()
		if *one.at, err = new(net.ListenConfig).Listen(ctx, "tcp", addr); err != nil {
			return portFault(err, one.key, one.flag, addr)
		}
	}
	return nil
}

// open opens every port, or none.
func (l *listeners) open(c config.Server, noAdmin bool) error {
	for _, one := range []struct {
		to              *net.Listener
		key, flag, addr string
	}{
		{&l.http, "listen.http", "--http", c.Listen.HTTP},
		{&l.grpc, "listen.grpc", "--grpc", c.Listen.GRPC},
		{&l.raft, "listen.raft", "--raft", raftAddress(c)},
		{&l.probe, "listen.probe", "--probe", c.Listen.Probe},
		{&l.admin, "listen.admin", "--admin", c.Listen.Admin},
	} {
		if noAdmin && one.to == &l.admin {
			continue
		}
		var err error
		if *one.to, err = net.Listen("tcp", one.addr); err != nil {
			l.close()
			return portFault(err, one.key, one.flag, one.addr)
		}
	}
	return nil
}

// raftAddress is where the Raft port listens: as configured, else as the members name it.
func raftAddress(c config.Server) string {
	if c.Listen.Raft != "" {
		return c.Listen.Raft
	}
	return c.Members[c.Node]
}

// close closes what is open; parts that ran have closed theirs already.
func (l *listeners) close() {
	for _, one := range []net.Listener{l.http, l.grpc, l.raft, l.probe, l.admin} {
		if one != nil {
			_ = one.Close()
		}
	}
}

// The probe listener answers every connection with one fixed line and closes it: what other regions measure.
const (
	probeAnswer  = "supercluster ok\n"
	probeTimeout = time.Second
	probeLimit   = 256 // connections at once
)

func serveProbe(ctx context.Context, l net.Listener) error {
	stop := context.AfterFunc(ctx, func() { _ = l.Close() })
	defer stop()
	slots := make(chan struct{}, probeLimit)
	var answers sync.WaitGroup
	defer answers.Wait()
	for {
		conn, err := l.Accept()
		if err != nil {
			return endOf(ctx, err)
		}
		select {
		case slots <- struct{}{}:
		default:
			_ = conn.Close()
			continue
		}
		answers.Go(func() {
			defer func() { <-slots }()
			defer conn.Close()
			_ = conn.SetDeadline(time.Now().Add(probeTimeout))
			_, _ = io.WriteString(conn, probeAnswer)
		})
	}
}

// askProbe connects to a probe listener and wants its line. The round trip is what connecting takes.
func askProbe(ctx context.Context, address string) (time.Duration, error) {
	began := time.Now()
	conn, err := new(net.Dialer).DialContext(ctx, "tcp", address)
	if err != nil {
		return 0, err
	}
	defer conn.Close()
	roundTrip := time.Since(began)
	if deadline, ok := ctx.Deadline(); ok {
		_ = conn.SetReadDeadline(deadline)
	}
	stop := context.AfterFunc(ctx, func() { _ = conn.Close() })
	defer stop()
	answer := make([]byte, len(probeAnswer))
	if _, err := io.ReadFull(conn, answer); err != nil {
		return 0, fault.Wrap(fault.Unavailable, err, "%s does not answer as a probe listener does", address)
	}
	if string(answer) != probeAnswer {
		return 0, fault.New(fault.Unavailable, "what listens at %s is no probe listener", address)
	}
	return roundTrip, nil
}

// serveAdmin serves this process's admin listener, if it is its own.
func (p *process) serveAdmin(ctx context.Context) error {
	if p.listeners.admin == nil {
		<-ctx.Done()
		return nil
	}
	return serveAdmin(ctx, p.listeners.admin, nil)
}

// serveAdmin serves pprof, and what more is added. Its address is loopback, which the configuration checks; a page in a browser of
// this machine reaches it as well, and must not read the heap.
func serveAdmin(ctx context.Context, l net.Listener, more func(*http.ServeMux)) error {
	mux := http.NewServeMux()
	if more != nil {
		more(mux)
	}
	mux.HandleFunc("/debug/pprof/", pprof.Index)
	mux.HandleFunc("/debug/pprof/cmdline", pprof.Cmdline)
	mux.HandleFunc("/debug/pprof/profile", pprof.Profile)
	mux.HandleFunc("/debug/pprof/symbol", pprof.Symbol)
	mux.HandleFunc("/debug/pprof/trace", pprof.Trace)
	s := &http.Server{Handler: server.RefuseForeign(mux), ReadHeaderTimeout: 5 * time.Second}
	stop := context.AfterFunc(ctx, func() { _ = s.Close() })
	defer stop()
	return endOf(ctx, s.Serve(l))
}

// endOf hides the error of a listener that was closed on purpose.
func endOf(ctx context.Context, err error) error {
	if ctx.Err() != nil || errors.Is(err, net.ErrClosed) || errors.Is(err, http.ErrServerClosed) {
		return nil
	}
	return err
}
