package federation

import (
	"context"

	"supercluster/internal/fault"
)

// A link is best kept with the server that leads the peer: the others learn of what is decided one message later, and that message
// and the work for it count most where many servers share a processor. Any server serves all the same.

// askLeader lets the link move to the server that leads the peer.
func (c *connection) askLeader(ctx context.Context, calls *caller) error {
	address, err := calls.call(ctx, callLeader, nil)
	if fault.Is(err, fault.Unsupported) {
		return nil // an earlier version
	}
	if err == nil {
		c.u.link.Prefer(string(address))
	}
	return err
}

// leaderAddress is where other regions reach the node that leads; empty: not known now.
func (f *Federation) leaderAddress() string {
	leader := f.cfg.Store.Leader()
	if leader == "" || f.cfg.AddressOf == nil {
		return ""
	}
	return f.cfg.AddressOf(leader)
}
