package dns

import (
	"syscall"

	"golang.org/x/sys/unix"
)

// reusePort tells that several sockets can share the port, each with its own queue and worker.
const reusePort = true

// prepareUDP sets what must be set before bind. On the unspecified address each packet also tells which address it
// came to, since the answer must come from there.
func prepareUDP(c syscall.RawConn, unspecified bool) error {
	var err error
	control := func(fd uintptr) {
		err = unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_REUSEPORT, 1)
		if err != nil || !unspecified {
			return
		}
		if domain, _ := unix.GetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_DOMAIN); domain == unix.AF_INET6 {
			err = unix.SetsockoptInt(int(fd), unix.IPPROTO_IPV6, unix.IPV6_RECVPKTINFO, 1)
			return
		}
		err = unix.SetsockoptInt(int(fd), unix.IPPROTO_IP, unix.IP_PKTINFO, 1)
	}
	if cerr := c.Control(control); cerr != nil {
		return cerr
	}
	return err
}
