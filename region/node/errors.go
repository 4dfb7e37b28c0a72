package node

import (
	"errors"
	"fmt"

	"github.com/lni/dragonboat/v4"

	"supercluster/internal/fault"
)

// startFault explains why Dragonboat did not start.
func startFault(dir string, err error) error {
	switch {
	case errors.Is(err, dragonboat.ErrInvalidShardSettings):
		return fault.Wrap(fault.Conflict, err, "the Raft log in %s was made for other members", dir).
			WithHint("members can not be changed by the configuration yet: restore the list that the region was made with")
	case errors.Is(err, dragonboat.ErrReplicaRemoved):
		return fault.Wrap(fault.Conflict, err, "this node was removed from its region")
	default:
		return fault.Wrap(fault.Internal, err, "the Raft log in %s can not be opened%s", dir, emptied(dir)).
			WithHint("a log belongs to one version's settings; the cause names the difference, or what is damaged: then %s", replaceHint)
	}
}

// panicFault turns what Dragonboat panics with into an error.
func panicFault(dir string, cause any) error {
	err, ok := cause.(error)
	if !ok {
		err = fmt.Errorf("%v", cause)
	}
	return fault.Wrap(fault.Internal, err, "the Raft log in %s can not be opened%s", dir, emptied(dir)).
		WithHint("the cause names what is wrong; if something is damaged: %s", replaceHint)
}

// refusal is what a proposal or read that never began means to who waits.
type refusal uint8

const (
	refusedBusy     refusal = iota // too much is queued in the log: try again soon
	refusedNoLeader                // no leader, or not ready: try again when there is one
	refusedStopped                 // this node is stopping
	refusedForGood                 // it will never be taken
)

// judge converts an error of Propose or ReadIndex. With any of them nothing was put into the log.
func judge(err error) refusal {
	switch {
	case errors.Is(err, dragonboat.ErrSystemBusy):
		return refusedBusy
	case errors.Is(err, dragonboat.ErrShardNotReady), errors.Is(err, dragonboat.ErrShardNotInitialized):
		return refusedNoLeader
	case errors.Is(err, dragonboat.ErrShardClosed), errors.Is(err, dragonboat.ErrClosed),
		errors.Is(err, dragonboat.ErrShardNotFound):
		return refusedStopped
	default:
		return refusedForGood
	}
}

var (
	errStopping = fault.New(fault.Unavailable, "this node is stopping").WithHint("retry on another node")
	errNoLeader = fault.New(fault.Unavailable, "the region has no leader now; nothing was done").
			WithHint("retry; a majority of its nodes must run and reach each other")
)
