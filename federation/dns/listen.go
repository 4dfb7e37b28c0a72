package dns

import (
	"context"
	"errors"
	"net"
	"runtime"
	"strconv"
	"syscall"

	"supercluster/internal/fault"
)

// socketBuffer is what the kernel may hold of queries and answers: a burst must not be lost to the default.
const socketBuffer = 1 << 20

// listen opens the TCP listener and the UDP sockets. TCP comes first and without SO_REUSEPORT: it finds a port that
// another process serves, which UDP sockets with SO_REUSEPORT would silently share.
func listen(addr string) (net.Listener, []*net.UDPConn, error) {
	var config net.ListenConfig
	for try := 0; ; try++ {
		tcp, err := config.Listen(context.Background(), "tcp", addr)
		if err != nil {
			return nil, nil, listenFault("TCP", addr, err)
		}
		udp, err := listenUDP(tcp.Addr().(*net.TCPAddr))
		if err == nil {
			return tcp, udp, nil
		}
		_ = tcp.Close()
		// The port that was free for TCP may be taken for UDP; when any will do, another is tried.
		if _, port, _ := net.SplitHostPort(addr); port != "0" || try == 10 {
			return nil, nil, listenFault("UDP", addr, err)
		}
	}
}

func listenUDP(at *net.TCPAddr) ([]*net.UDPConn, error) {
	count := 1
	if reusePort {
		count = runtime.GOMAXPROCS(0)
	}
	config := net.ListenConfig{Control: func(_, _ string, c syscall.RawConn) error {
		return prepareUDP(c, at.IP.IsUnspecified())
	}}
	addr := net.JoinHostPort(at.AddrPort().Addr().String(), strconv.Itoa(at.Port))
	var conns []*net.UDPConn
	for range count {
		conn, err := config.ListenPacket(context.Background(), "udp", addr)
		if err != nil {
			for _, c := range conns {
				_ = c.Close()
			}
			return nil, err
		}
		udp := conn.(*net.UDPConn)
		_ = udp.SetReadBuffer(socketBuffer)
		_ = udp.SetWriteBuffer(socketBuffer)
		conns = append(conns, udp)
	}
	return conns, nil
}

func listenFault(network, addr string, err error) error {
	f := fault.Wrap(fault.Unavailable, err, "cannot listen for DNS on %s %s", network, addr)
	switch {
	case errors.Is(err, syscall.EADDRINUSE):
		return f.WithHint("another program uses the port; stop it or set listen.dns")
	case errors.Is(err, syscall.EACCES):
		return f.WithHint("ports below 1024 need a privilege (CAP_NET_BIND_SERVICE)")
	default:
		return f.WithHint("check listen.dns")
	}
}
