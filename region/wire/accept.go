package wire

import (
	"context"
	"crypto/tls"
	"errors"
	"net"
	"time"

	pb "github.com/lni/dragonboat/v4/raftpb"

	"supercluster/internal/fault"
)

// serve takes one accepted connection through TLS and its first frame, then serves it by its kind.
func (w *Wire) serve(ctx context.Context, raw net.Conn) {
	conn := raw
	_ = raw.SetDeadline(time.Now().Add(handshakeTimeout))
	if w.cfg.Server != nil {
		conn = tls.Server(raw, w.cfg.Server)
	}
	h, err := w.receiveHello(conn)
	if err != nil {
		w.metrics.refused(ctx)
		w.log.Warn("a connection on the Raft port was refused", "remote", raw.RemoteAddr().String(), "error", err)
		return
	}
	_ = raw.SetDeadline(time.Time{})
	switch h.kind {
	case KindRaft:
		err = w.serveRaft(conn)
	case KindSnapshot:
		err = w.serveSnapshot(conn)
	case KindNode:
		err = w.serveNode(ctx, conn, h.from)
	}
	if err != nil && ctx.Err() == nil && !gone(err) {
		w.log.Warn("a connection of a node ended", "from", h.from, "kind", h.kind.String(), "error", err)
	}
}

// receiveHello reads the first frame, answers it, and says whether the connection is to be served.
func (w *Wire) receiveHello(conn net.Conn) (hello, error) {
	if t, ok := conn.(*tls.Conn); ok {
		if err := t.Handshake(); err != nil {
			return hello{}, tlsFault(err)
		}
	}
	frames := frameReader{r: conn, limit: maxHello}
	t, payload, err := frames.next()
	if err != nil {
		return hello{}, err
	}
	if t != frameHello {
		return hello{}, fault.New(fault.Invalid, "the first frame is of type %d", t)
	}
	h, err := decodeHello(payload)
	if err != nil {
		return hello{}, err
	}
	answer := welcome{region: w.cfg.Region, regionID: w.regionID()}
	refusal := w.judge(h)
	if refusal != nil {
		answer.refusal, answer.kind = refusal.Text(), refusal.Kind
	} else if known := w.known.Load(); known != nil {
		answer.known = (*known)(h.from)
	}
	if _, err := conn.Write(newFrame(frameWelcome, answer.encode())); err != nil {
		return h, err
	}
	if refusal != nil {
		return h, refusal
	}
	return h, nil
}

// judge says why a first frame is not welcome; nil when it is.
func (w *Wire) judge(h hello) *fault.Error {
	own := w.regionID()
	_, member := w.cfg.Members[h.from]
	switch {
	case h.region != w.cfg.Region:
		return fault.New(fault.Denied, "this is region %q, not %q", w.cfg.Region, h.region)
	case own != [16]byte{} && h.regionID != [16]byte{} && own != h.regionID:
		return fault.New(fault.Denied, "node %q belongs to another region of the name %q: their ids differ", h.from, h.region)
	case h.to != w.cfg.Node:
		return fault.New(fault.Denied, "this is node %q, not %q: check the addresses of members", w.cfg.Node, h.to)
	case !member || h.from == w.cfg.Node:
		return fault.New(fault.Denied, "%q is not another member of region %q", h.from, w.cfg.Region)
	case h.kind < KindRaft || h.kind > KindProbe:
		return fault.New(fault.Unsupported, "connection kind %d is not known to this version", h.kind)
	default:
		return nil
	}
}

// deadlines gives each frame its own time: long to wait for one, short to receive what was begun.
func deadlines(conn net.Conn, limit uint32, idle time.Duration) (*frameReader, func()) {
	wait := func() { _ = conn.SetReadDeadline(time.Now().Add(idle)) }
	return &frameReader{
		r: newBuffered(conn), limit: limit,
		begun: func() { _ = conn.SetReadDeadline(time.Now().Add(readTimeout)) },
	}, wait
}

func (w *Wire) serveRaft(conn net.Conn) error {
	frames, wait := deadlines(conn, maxBatch, idleTimeout)
	for {
		wait()
		t, payload, err := frames.next()
		if err != nil {
			return err
		}
		if t != frameBatch {
			return fault.New(fault.Invalid, "frame of type %d on a raft connection", t)
		}
		var batch pb.MessageBatch
		if err := batch.Unmarshal(payload); err != nil {
			return fault.Wrap(fault.Corrupt, err, "a batch of Raft messages does not parse")
		}
		if r := w.receiver.Load(); r != nil { // before the replica runs, Raft messages are lost like any others
			r.takeBatch(batch)
		}
	}
}

func (w *Wire) serveSnapshot(conn net.Conn) error {
	frames, wait := deadlines(conn, maxChunk, idleTimeout)
	for {
		wait()
		t, payload, err := frames.next()
		if err != nil {
			return err
		}
		switch t {
		case frameEnd:
			_ = conn.SetWriteDeadline(time.Now().Add(writeTimeout))
			_, err := conn.Write(newFrame(frameEnd, nil))
			return err
		case frameChunk:
			var chunk pb.Chunk
			if err := chunk.Unmarshal(payload); err != nil {
				return fault.Wrap(fault.Corrupt, err, "a chunk of a snapshot does not parse")
			}
			r := w.receiver.Load()
			if r == nil || !r.takeChunk(chunk) {
				return fault.New(fault.Unavailable, "a chunk of a snapshot was not wanted")
			}
		default:
			return fault.New(fault.Invalid, "frame of type %d on a snapshot connection", t)
		}
	}
}

// gone reports whether an error only says that the other side went away.
func gone(err error) bool {
	var timeout net.Error
	return errors.Is(err, net.ErrClosed) || isReset(err) || errors.As(err, &timeout) && timeout.Timeout()
}
