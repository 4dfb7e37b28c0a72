package main

import (
	"context"

	"supercluster/api/server"
	"supercluster/federation"
	"supercluster/registry/access"
)

// homes is what the API asks of the exchange with other regions; nil without one.
func (p *process) homes() server.Homes {
	if p.federation == nil {
		return nil
	}
	return p.federation
}

// answerForward runs a call that was made in another region.
func (p *process) answerForward(ctx context.Context, c *federation.ForwardedCall) ([]byte, error) {
	select {
	case <-p.assembled:
		return p.api.Forwarded(ctx, c)
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// forwardedRole says what callers of other regions may do here, as principal does for those of this one.
func (p *process) forwardedRole() func(region, name string, claimed access.Role) access.Role {
	switch {
	case p.dev:
		return server.ForwardedUpTo(access.RoleDev)
	case p.tlsFiles == nil:
		return server.ForwardedUpTo(access.RoleOperator)
	default:
		return server.ForwardedAs(p.config.Operators, p.config.Readers)
	}
}
