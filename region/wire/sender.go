package wire

import (
	"net"
	"sync"
	"time"

	"supercluster/internal/fault"
)

// sender writes frames to one connection, through the faults of tests.
type sender struct {
	w       *Wire
	to      string
	kind    Kind
	timeout time.Duration

	mu     sync.Mutex // one frame at a time
	conn   net.Conn
	failed error
}

// send writes one whole frame, which stays the caller's.
func (s *sender) send(frame []byte) error {
	f := s.w.cfg.Faults
	if f == nil {
		return s.write(frame)
	}
	fate := f.Frame(s.w.cfg.Node, s.to, s.kind)
	if fate.Drop {
		return nil
	}
	copies := 1
	if fate.Duplicate {
		copies = 2
	}
	for range copies {
		if fate.Delay == 0 {
			if err := s.write(frame); err != nil {
				return err
			}
			continue
		}
		late := append([]byte(nil), frame...)
		time.AfterFunc(fate.Delay, func() { _ = s.write(late) }) // a lost late frame is one more fault
	}
	return nil
}

func (s *sender) write(frame []byte) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.failed != nil {
		return s.failed
	}
	_ = s.conn.SetWriteDeadline(time.Now().Add(s.timeout))
	if _, err := s.conn.Write(frame); err != nil {
		// Half a frame may have gone out: nothing more can be said on this connection.
		s.failed = fault.Wrap(fault.Unavailable, err, "connection to node %q broke", s.to)
		s.conn.Close()
		return s.failed
	}
	s.w.metrics.sent(s.kind, len(frame))
	return nil
}

// broken reports whether nothing more can be said on the connection.
func (s *sender) broken() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.failed != nil
}

// close ends the connection; late frames of the fault hook find it failed.
func (s *sender) close() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.failed == nil {
		s.failed = fault.New(fault.Unavailable, "connection to node %q is closed", s.to)
	}
	s.conn.Close()
}
