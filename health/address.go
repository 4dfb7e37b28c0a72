package health

import (
	"context"
	"net"
	"net/netip"
	"syscall"

	"supercluster/internal/fault"
)

// metadataAddrs are where clouds answer instances' questions about themselves, outside the link-local ranges.
var metadataAddrs = [...]netip.Addr{
	netip.AddrFrom4([4]byte{100, 100, 100, 200}), // Alibaba
	netip.AddrFrom4([4]byte{192, 0, 0, 192}),     // Oracle
	netip.AddrFrom4([4]byte{168, 63, 129, 16}),   // Azure
}

var (
	// metadataV6 is where EC2 answers over IPv6; it lies in the range of private addresses.
	metadataV6 = netip.AddrFrom16([16]byte{0xfd, 0x00, 0x0e, 0xc2, 14: 0x02, 15: 0x54})
	// nat64 is the well-known prefix under which IPv6 reaches IPv4 addresses.
	nat64 = netip.PrefixFrom(netip.AddrFrom16([16]byte{0x00, 0x64, 0xff, 0x9b}), 96)
)

// refuse says why a check must not connect to an address; nil: it may. Whoever registers an instance chooses its
// address, and the node that probes may reach what the registrant cannot.
func refuse(addr netip.Addr, allowLinkLocal bool) error {
	addr = addr.Unmap().WithZone("")
	if nat64.Contains(addr) {
		b := addr.As16()
		addr = netip.AddrFrom4([4]byte(b[12:]))
	}
	switch {
	case !addr.IsValid():
		return refused(addr, "is not an IP address")
	case addr.IsUnspecified():
		return refused(addr, "is the unspecified address")
	case addr.IsMulticast() || addr == netip.AddrFrom4([4]byte{255, 255, 255, 255}):
		return refused(addr, "is a multicast address")
	case allowLinkLocal:
		return nil
	case addr.IsLinkLocalUnicast():
		return refused(addr, "is link-local")
	case addr == metadataV6:
		return refused(addr, "is a metadata service")
	}
	for _, m := range metadataAddrs {
		if addr == m {
			return refused(addr, "is a metadata service")
		}
	}
	return nil
}

func refused(addr netip.Addr, why string) error {
	return fault.New(fault.Denied, "checks do not connect to %v: it %s", addr, why)
}

// dialer connects for probes. The address is judged where the socket connects, so that nothing between the check's
// definition and the kernel can replace it.
func dialer(allowLinkLocal bool) func(ctx context.Context, addr string) (net.Conn, error) {
	d := net.Dialer{
		KeepAlive: -1,
		Control: func(_, address string, _ syscall.RawConn) error {
			to, err := netip.ParseAddrPort(address)
			if err != nil {
				return fault.Wrap(fault.Denied, err, "checks connect to IP addresses only")
			}
			return refuse(to.Addr(), allowLinkLocal)
		},
	}
	return func(ctx context.Context, addr string) (net.Conn, error) { return d.DialContext(ctx, "tcp", addr) }
}
