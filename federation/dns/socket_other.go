//go:build !linux

package dns

import "syscall"

// reusePort tells that several sockets can share the port, each with its own queue and worker.
const reusePort = false

// prepareUDP sets what must be set before bind: nothing here. On the unspecified address of a machine with several
// addresses, answers may come from another address than the query went to; name the address instead.
func prepareUDP(syscall.RawConn, bool) error { return nil }
