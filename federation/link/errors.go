package link

import (
	"errors"
	"io"
	"net"
	"syscall"

	"github.com/quic-go/quic-go"

	"supercluster/internal/fault"
)

// codeBase is added to a fault's kind: the result travels when a connection is closed.
const codeBase = 0x100

// codeDone says that a connection was closed without a reason.
const codeDone quic.ApplicationErrorCode = 0

// maxReason bounds the text that goes with the end of a connection: it must fit into one packet.
const maxReason = 512

// closeCode gives the reason of an end the form in which it travels.
func closeCode(reason error) (quic.ApplicationErrorCode, string) {
	if reason == nil {
		return codeDone, ""
	}
	f := asFault(reason)
	text := f.Text()
	return quic.ApplicationErrorCode(codeBase + int(f.Kind)), text[:min(len(text), maxReason)]
}

// asFault converts an error of QUIC, TLS or the network.
func asFault(err error) *fault.Error {
	if f, ok := fault.As(err); ok {
		return f
	}
	var (
		application *quic.ApplicationError
		transport   *quic.TransportError
		versions    *quic.VersionNegotiationError
		stream      *quic.StreamError
	)
	switch {
	case errors.As(err, &application):
		return applicationFault(application)
	case errors.As(err, &transport):
		return transportFault(transport)
	case errors.As(err, &versions):
		return fault.Wrap(fault.Unsupported, err, "the peer speaks no common version of QUIC")
	case errors.As(err, &stream):
		return fault.Wrap(fault.Unavailable, err, "the stream was ended")
	case errors.Is(err, io.EOF):
		return fault.Wrap(fault.Unavailable, err, "the peer ended the stream")
	case errors.Is(err, io.ErrUnexpectedEOF):
		return fault.Wrap(fault.Unavailable, err, "the stream ended inside a message")
	case fault.KindOf(err) != fault.Internal: // of package context
		return fault.Wrap(fault.KindOf(err), err, "the wait for the peer was given up")
	}
	var timeout net.Error
	if errors.As(err, &timeout) && timeout.Timeout() {
		return fault.Wrap(fault.Unavailable, err, "the peer does not answer")
	}
	return fault.Wrap(fault.Unavailable, err, "the connection to the peer broke")
}

func applicationFault(err *quic.ApplicationError) *fault.Error {
	kind := fault.Unavailable
	if k := int64(err.ErrorCode) - codeBase; k >= 0 && k < int64(len(fault.Kinds())) {
		kind = fault.Kind(k)
	}
	switch { // the message is the cause's whole text
	case err.ErrorMessage == "":
		return fault.New(kind, "the connection was closed")
	case err.Remote:
		return fault.New(kind, "the peer says: %s", err.ErrorMessage)
	default:
		return fault.New(kind, "%s", err.ErrorMessage)
	}
}

func transportFault(err *quic.TransportError) *fault.Error {
	switch {
	case err.ErrorCode == quic.ConnectionRefused:
		return fault.Wrap(fault.Busy, err, "the peer takes no more connections now")
	case err.ErrorCode.IsCryptoError():
		return fault.Wrap(fault.Unauthenticated, err, "TLS handshake failed").
			WithHint("each region needs the other's CA certificates, and a valid certificate of its own")
	default:
		return fault.Wrap(fault.Unavailable, err, "the connection to the peer broke")
	}
}

// GivenUp reports whether an error says that the peer wants no more of one stream. The connection goes on.
func GivenUp(err error) bool {
	var stream *quic.StreamError
	return errors.As(err, &stream) && stream.Remote
}

// ListenFault explains why a UDP port could not be opened.
func ListenFault(address string, err error) error {
	switch {
	case errors.Is(err, syscall.EADDRINUSE):
		return fault.Wrap(fault.Unavailable, err, "federation port %s is in use", address).
			WithHint("another process listens there: stop it, or set another listen.federation")
	case errors.Is(err, syscall.EACCES):
		return fault.Wrap(fault.Denied, err, "no right to listen on %s", address)
	default:
		return fault.Wrap(fault.Invalid, err, "can not listen on %s", address).WithHint("check listen.federation")
	}
}

// hopeless reports whether dialing again soon can not help: what refuses must be repaired by people first.
func hopeless(err error) bool {
	switch fault.KindOf(err) {
	case fault.Unsupported, fault.Denied, fault.Unauthenticated, fault.Invalid:
		return true
	default:
		return false
	}
}
