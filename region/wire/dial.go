package wire

import (
	"context"
	"crypto/tls"
	"net"
	"time"

	"supercluster/internal/fault"
)

// dial connects to a member and says hello. The connection is tracked until released.
func (w *Wire) dial(ctx context.Context, node string, kind Kind) (net.Conn, welcome, error) {
	address, ok := w.cfg.Members[node]
	if !ok || node == w.cfg.Node {
		return nil, welcome{}, fault.New(fault.NotFound, "%q is not another member of region %q", node, w.cfg.Region)
	}
	if f := w.cfg.Faults; f != nil {
		if err := f.Dial(w.cfg.Node, node, kind); err != nil {
			return nil, welcome{}, dialFault(node, address, err)
		}
	}
	ctx, cancel := context.WithTimeout(ctx, dialTimeout+handshakeTimeout)
	defer cancel()
	dialer := net.Dialer{Timeout: dialTimeout, KeepAliveConfig: net.KeepAliveConfig{
		Enable: true, Idle: 5 * time.Second, Interval: 2 * time.Second, Count: 3,
	}}
	raw, err := dialer.DialContext(ctx, "tcp", address)
	if err != nil {
		return nil, welcome{}, dialFault(node, address, err)
	}
	if !w.track(raw, maxConnections) {
		raw.Close()
		return nil, welcome{}, fault.New(fault.Unavailable, "this node is stopping, or has too many connections")
	}
	stop := context.AfterFunc(ctx, func() { raw.Close() })
	conn, answer, err := w.introduce(ctx, raw, node, kind)
	if err == nil && !stop() {
		err = dialFault(node, address, context.Cause(ctx))
	}
	if err != nil {
		stop()
		w.untrack(raw)
		return nil, answer, err
	}
	_ = raw.SetDeadline(time.Time{})
	return &tracked{Conn: conn, release: func() { w.untrack(raw) }}, answer, nil
}

// introduce takes a fresh connection through TLS and the first frames.
func (w *Wire) introduce(ctx context.Context, raw net.Conn, node string, kind Kind) (net.Conn, welcome, error) {
	conn := raw
	_ = raw.SetDeadline(time.Now().Add(handshakeTimeout))
	if w.cfg.Client != nil {
		cfg := w.cfg.Client
		if cfg.ServerName == "" {
			host, _, _ := net.SplitHostPort(w.cfg.Members[node])
			cfg = cfg.Clone()
			cfg.ServerName = host
		}
		client := tls.Client(raw, cfg)
		if err := client.HandshakeContext(ctx); err != nil {
			return nil, welcome{}, tlsFault(err)
		}
		conn = client
	}
	h := hello{kind: kind, region: w.cfg.Region, regionID: w.regionID(), from: w.cfg.Node, to: node}
	if _, err := conn.Write(newFrame(frameHello, h.encode())); err != nil {
		return nil, welcome{}, err
	}
	frames := frameReader{r: conn, limit: maxHello}
	t, payload, err := frames.next()
	if err != nil {
		// With TLS 1.3 a refused client certificate shows here.
		return nil, welcome{}, fault.Wrap(fault.Unavailable, err, "node %q did not answer the first frame", node)
	}
	if t != frameWelcome {
		return nil, welcome{}, fault.New(fault.Invalid, "node %q answered the first frame with type %d", node, t)
	}
	answer, err := decodeWelcome(payload)
	if err != nil {
		return nil, answer, err
	}
	if answer.refusal != "" {
		return nil, answer, fault.New(answer.kind, "node %q refused the connection: %s", node, answer.refusal)
	}
	return conn, answer, nil
}

// Knows asks a member whether the region exists and has seen this node before.
func (w *Wire) Knows(ctx context.Context, node string) (bool, error) {
	conn, answer, err := w.dial(ctx, node, KindProbe)
	if err != nil {
		return false, err
	}
	conn.Close()
	return answer.known, nil
}

// tracked is a connection that leaves the list of open ones when it is closed.
type tracked struct {
	net.Conn
	release func()
}

func (t *tracked) Close() error {
	err := t.Conn.Close()
	t.release()
	return err
}
