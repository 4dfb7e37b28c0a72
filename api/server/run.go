package server

import (
	"context"
	"crypto/tls"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"time"

	"golang.org/x/sync/errgroup"
	"google.golang.org/grpc"

	"supercluster/internal/fault"
)

// drainTime is how long calls in flight may take when the server stops. Streams end at once: their clients have
// other nodes.
const drainTime = 5 * time.Second

// Run serves gRPC and HTTP on two listeners until ctx ends, then lets calls in flight end and closes both. It
// owns the listeners from the call on.
func (s *Server) Run(ctx context.Context, grpcListener, httpListener net.Listener) error {
	if err := s.checkTable(); err != nil {
		return errors.Join(err, grpcListener.Close(), httpListener.Close())
	}
	if s.cfg.TLS != nil {
		// gRPC does its own handshake, from the credentials in its options.
		httpListener = tls.NewListener(httpListener, s.httpTLS())
	}
	httpServer := &http.Server{
		Handler: s.http, MaxHeaderBytes: maxHeaderBytes,
		ReadHeaderTimeout: readHeaderTimeout, ReadTimeout: s.cfg.Limits.RequestTimeout, IdleTimeout: idleTimeout,
		ErrorLog: slog.NewLogLogger(s.log.Handler(), slog.LevelDebug),
	}
	grpcServer := s.newGRPC()
	group, groupCtx := errgroup.WithContext(ctx)
	group.Go(func() error { return servingEnded(grpcServer.Serve(grpcListener)) })
	group.Go(func() error { return servingEnded(httpServer.Serve(httpListener)) })
	group.Go(func() error { return s.drains.run(groupCtx) })
	group.Go(func() error {
		<-groupCtx.Done()
		return s.stop(ctx, grpcServer, httpServer)
	})
	if err := group.Wait(); err != nil && ctx.Err() == nil {
		return err
	}
	return nil
}

// httpTLS is the listeners' TLS for HTTP/1.1: watches and short calls need no more.
func (s *Server) httpTLS() *tls.Config {
	c := s.cfg.TLS.Clone()
	c.NextProtos = []string{"http/1.1"}
	return c
}

// stop ends streams, then waits for calls in flight.
func (s *Server) stop(ctx context.Context, grpcServer *grpc.Server, httpServer *http.Server) error {
	close(s.stopping)
	deadline, cancel := context.WithTimeout(context.WithoutCancel(ctx), drainTime)
	defer cancel()
	done := make(chan struct{})
	go func() {
		grpcServer.GracefulStop()
		close(done)
	}()
	err := httpServer.Shutdown(deadline)
	if err != nil {
		err = httpServer.Close()
	}
	select {
	case <-done:
	case <-deadline.Done():
		grpcServer.Stop()
		<-done
	}
	return err
}

// servingEnded turns the errors that mean "closed on purpose" into none.
func servingEnded(err error) error {
	if err == nil || errors.Is(err, http.ErrServerClosed) || errors.Is(err, net.ErrClosed) {
		return nil
	}
	return fault.Wrap(fault.Unavailable, err, "a listener of the API failed: %v", err)
}
