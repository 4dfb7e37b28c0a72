package wire

import (
	"bufio"
	"errors"
	"io"
	"net"
	"syscall"

	"supercluster/internal/fault"
)

// listenFault explains why a port could not be opened.
func listenFault(address string, err error) error {
	switch {
	case errors.Is(err, syscall.EADDRINUSE):
		return fault.Wrap(fault.Unavailable, err, "Raft port %s is in use", address).
			WithHint("another process listens there: stop it, or set another listen.raft")
	case errors.Is(err, syscall.EACCES):
		return fault.Wrap(fault.Denied, err, "no right to listen on %s", address)
	default:
		return fault.Wrap(fault.Invalid, err, "can not listen on %s", address).WithHint("check listen.raft")
	}
}

// dialFault explains why a peer could not be reached.
func dialFault(node, address string, err error) error {
	return fault.Wrap(fault.Unavailable, err, "node %q at %s can not be reached", node, address)
}

// tlsFault explains a failed handshake.
func tlsFault(err error) error {
	return fault.Wrap(fault.Unauthenticated, err, "TLS handshake failed").
		WithHint("every node needs a certificate of the configured CA, valid for the host in members")
}

func isReset(err error) bool {
	return errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) ||
		errors.Is(err, syscall.ECONNRESET) || errors.Is(err, syscall.EPIPE)
}

// newBuffered reads small frames with one call to the system.
func newBuffered(conn net.Conn) io.Reader { return bufio.NewReaderSize(conn, 32<<10) }
