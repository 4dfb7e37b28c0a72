package dns

import (
	"context"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"net/netip"
	"sync"
	"time"
)

// Limits of TCP: what one client, and all together, can hold.
const (
	maxConns     = 512
	maxPerSource = 64
	tcpIdle      = 8 * time.Second
	tcpWrite     = 4 * time.Second
	// maxPerConn is how many queries a connection gets answered before it is closed.
	maxPerConn = 10000
)

// tcpServer accepts and bounds connections.
type tcpServer struct {
	*Server
	conns sync.WaitGroup

	mu      sync.Mutex
	closed  bool
	open    map[net.Conn]struct{}
	sources map[[8]byte]int
}

func (t *tcpServer) serve(ctx context.Context) error {
	defer t.conns.Wait()
	for {
		conn, err := t.listener.Accept()
		if err != nil {
			if ctx.Err() != nil || errors.Is(err, net.ErrClosed) {
				return nil
			}
			t.log.Warn("dns: accept", "error", err)
			pause(ctx, 10*time.Millisecond)
			continue
		}
		source := sourceOf(conn)
		if !t.admit(conn, source) {
			t.metrics.turnedAway.Add(1)
			_ = conn.Close()
			continue
		}
		t.conns.Go(func() {
			defer t.leave(conn, source)
			t.serveConn(conn)
		})
	}
}

// serveConn answers the queries of one connection in their order, until it is idle, broken or done.
func (t *tcpServer) serveConn(conn net.Conn) {
	work := newScratch()
	in := make([]byte, 2+maxQuery)
	for range maxPerConn {
		_ = conn.SetReadDeadline(time.Now().Add(tcpIdle))
		if _, err := io.ReadFull(conn, in[:2]); err != nil {
			return
		}
		size := int(binary.BigEndian.Uint16(in))
		if size > maxQuery {
			return
		}
		if _, err := io.ReadFull(conn, in[:size]); err != nil {
			return
		}
		out := t.respond.answer(work, in[:size], viaTCP)
		if out == nil {
			return
		}
		framed := binary.BigEndian.AppendUint16(make([]byte, 0, 2+len(out)), uint16(len(out)))
		_ = conn.SetWriteDeadline(time.Now().Add(tcpWrite))
		if _, err := conn.Write(append(framed, out...)); err != nil {
			return
		}
	}
}

// admit counts a connection in, unless there are too many.
func (t *tcpServer) admit(conn net.Conn, source [8]byte) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.closed || len(t.open) >= maxConns || t.sources[source] >= maxPerSource {
		return false
	}
	t.open[conn] = struct{}{}
	t.sources[source]++
	return true
}

func (t *tcpServer) leave(conn net.Conn, source [8]byte) {
	_ = conn.Close()
	t.mu.Lock()
	defer t.mu.Unlock()
	delete(t.open, conn)
	if t.sources[source]--; t.sources[source] == 0 {
		delete(t.sources, source)
	}
}

// closeAll ends every connection and admits no more.
func (t *tcpServer) closeAll() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.closed = true
	for conn := range t.open {
		_ = conn.Close()
	}
}

func sourceOf(conn net.Conn) [8]byte {
	at, _ := netip.ParseAddrPort(conn.RemoteAddr().String())
	return network(at.Addr())
}
