package main

import (
	"supercluster/federation/plan"
	"supercluster/xds"
)

// reaches tells how this region reaches the others. xDS, DNS and lookups go by the same.
func (p *process) reaches() xds.Reaches {
	if p.identity == nil {
		return unmeasured{}
	}
	return measured{p}
}

// measured is a region that exchanges with others. The exchange is made after what asks it, and before that runs.
type measured struct{ p *process }

func (m measured) Reach() *plan.Reach            { return m.p.federation.Reach() }
func (m measured) ReachChanged() <-chan struct{} { return m.p.federation.ReachChanged() }

// unmeasured is a region that measures no other: all are up, and they stand by name.
type unmeasured struct{}

func (unmeasured) Reach() *plan.Reach { return nil }

// ReachChanged gives a channel that is never closed.
func (unmeasured) ReachChanged() <-chan struct{} { return nil }
