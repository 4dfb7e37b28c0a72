package node

import (
	"time"

	"github.com/lni/dragonboat/v4"
	"github.com/lni/dragonboat/v4/client"
)

// replyKind is how an attempt to put something into the log, or to read its index, ended.
type replyKind uint8

const (
	replyDone    replyKind = iota
	replyDropped           // it is not in the log and never will be
	replyUnknown           // it may or may not be, or become, part of the log
)

type reply struct {
	kind replyKind
	data []byte // of a proposal: the results
}

// attempt is one proposal of a group, or one ReadIndex, on its way.
type attempt interface {
	// await waits for the outcome. It gives false when wake or timer, nil for never, was ready first; then it can be
	// called again. After it gave an outcome it must not be.
	await(wake <-chan struct{}, timer <-chan time.Time) (reply, bool)
}

// groupLog is the Raft group as grouper and reads see it. An error means that nothing was begun; judge tells which.
type groupLog interface {
	propose(command []byte, timeout time.Duration) (attempt, error)
	readIndex(timeout time.Duration) (attempt, error)
}

// hostLog is Dragonboat's Raft group.
type hostLog struct {
	host    *dragonboat.NodeHost
	session *client.Session
}

func newHostLog(host *dragonboat.NodeHost) *hostLog {
	return &hostLog{host: host, session: host.GetNoOPSession(shard)}
}

func (l *hostLog) propose(command []byte, timeout time.Duration) (attempt, error) {
	rs, err := l.host.Propose(l.session, command, timeout)
	if err != nil {
		return nil, err
	}
	return hostAttempt{rs}, nil
}

func (l *hostLog) readIndex(timeout time.Duration) (attempt, error) {
	rs, err := l.host.ReadIndex(shard, timeout)
	if err != nil {
		return nil, err
	}
	return hostAttempt{rs}, nil
}

type hostAttempt struct{ rs *dragonboat.RequestState }

func (a hostAttempt) await(wake <-chan struct{}, timer <-chan time.Time) (reply, bool) {
	select {
	case result := <-a.rs.ResultC():
		r := reply{kind: replyUnknown}
		switch {
		case result.Completed():
			r = reply{kind: replyDone, data: result.GetResult().Data}
		case result.Dropped():
			r.kind = replyDropped
		}
		a.rs.Release()
		return r, true
	case <-wake:
	case <-timer:
	}
	return reply{}, false
}
