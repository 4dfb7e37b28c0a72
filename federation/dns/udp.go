package dns

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"time"
)

// slip is how many of the queries over the rate get a truncated answer: every second one, so that a client whose
// address is abused by others still gets through, by TCP.
const slip = 2

// serveUDP answers the queries of one socket, one after the other: an answer takes a few microseconds, less than
// handing it to another goroutine.
func (s *Server) serveUDP(ctx context.Context, conn *net.UDPConn) error {
	at, _ := netip.ParseAddrPort(conn.LocalAddr().String())
	in := make([]byte, maxQuery)
	var oob []byte
	if at.Addr().IsUnspecified() {
		oob = make([]byte, 128)
	}
	work := newScratch()
	refused := 0
	for {
		n, control, from, err := receive(conn, in, oob)
		if err != nil {
			if ctx.Err() != nil || errors.Is(err, net.ErrClosed) {
				return nil
			}
			s.log.Warn("dns: receive", "error", err)
			pause(ctx, 10*time.Millisecond)
			continue
		}
		var out []byte
		if s.limiter.allow(from.Addr(), int64(time.Since(s.epoch))) {
			out = s.respond.answer(work, in[:n], viaUDP)
		} else if s.metrics.limited.Add(1); refused%slip == 0 {
			refused++
			out = s.respond.refuseRate(work, in[:n])
		} else {
			refused++
		}
		if out != nil {
			// What cannot be sent is lost like any packet: the client asks again.
			_ = send(conn, out, control, from)
		}
	}
}

// receive reads one packet. With oob it also answers which address the packet came to, as send takes it.
func receive(conn *net.UDPConn, in, oob []byte) (n int, control []byte, from netip.AddrPort, err error) {
	if oob == nil {
		n, from, err = conn.ReadFromUDPAddrPort(in)
		return n, nil, from, err
	}
	n, size, _, from, err := conn.ReadMsgUDPAddrPort(in, oob)
	return n, oob[:size], from, err
}

func send(conn *net.UDPConn, out, control []byte, to netip.AddrPort) error {
	if control == nil {
		_, err := conn.WriteToUDPAddrPort(out, to)
		return err
	}
	_, _, err := conn.WriteMsgUDPAddrPort(out, control, to)
	return err
}

func pause(ctx context.Context, d time.Duration) {
	select {
	case <-ctx.Done():
	case <-time.After(d):
	}
}
