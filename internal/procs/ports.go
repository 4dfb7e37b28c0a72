package procs

import (
	"fmt"
	"math/rand/v2"
	"net"
	"strconv"
	"sync"
)

// Ports are taken from below those that the system gives to connections, which would take one before its server opens it.
const firstPort, lastPort = 12_000, 32_000

// FreePorts finds n ports of loopback that are free for TCP and UDP, and claims them.
func FreePorts(n int) ([]int, error) {
	var ports []int
	for tries := 0; len(ports) < n; tries++ {
		port := firstPort + rand.IntN(lastPort-firstPort)
		err := claims.claim(port)
		if err != nil && tries > 100*n {
			return nil, err
		}
		if err == nil {
			ports = append(ports, port)
		}
	}
	return ports, nil
}

// ClaimPorts claims ports that were chosen otherwise: it fails when one of them is not free. Those before it stay claimed.
func ClaimPorts(ports ...int) error {
	for _, port := range ports {
		if err := claims.claim(port); err != nil {
			return err
		}
	}
	return nil
}

// claims are the ports that this process handed out.
var claims claimed

// claimed keeps every port for as long as the process runs: tests run beside each other, in several processes too, and a
// server opens its port well after it was drawn, and again after it was killed. What says so to other processes is a socket
// with the port in its abstract name, which ends with the process however that ends.
type claimed struct {
	mu    sync.Mutex
	names []net.Listener // never closed
}

func (c *claimed) claim(port int) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	// A name that is taken, here or elsewhere, is refused by the system.
	name, err := net.Listen("unix", fmt.Sprintf("@supercluster-procs-%d", port))
	if err != nil {
		return fmt.Errorf("port %d is claimed by another test: %w", port, err)
	}
	if err := free(port); err != nil {
		_ = name.Close()
		return err
	}
	c.names = append(c.names, name)
	return nil
}

func free(port int) error {
	addr := net.JoinHostPort("127.0.0.1", strconv.Itoa(port))
	l, err := net.Listen("tcp", addr)
	if err != nil {
		return err
	}
	defer l.Close()
	u, err := net.ListenPacket("udp", addr)
	if err != nil {
		return err
	}
	return u.Close()
}
