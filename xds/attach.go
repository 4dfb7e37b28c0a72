package xds

import (
	"fmt"

	"supercluster/internal/fault"
	"supercluster/registry"
	"supercluster/xds/ir"
	"supercluster/xds/resources"
)

// attach gives a client its audience and builds what nobody asked for before.
func (p *publisher) attach(c *client) (*audience, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.view == nil {
		return nil, errNotReady()
	}
	if _, _, ok := p.view.NamespaceIDs(c.namespace.Tenant, c.namespace.Namespace); !ok {
		return nil, fault.Field("node.metadata", "there is no namespace %q of tenant %q",
			c.namespace.Namespace, c.namespace.Tenant).WithHint("create it, or name another in %s and %s",
			resources.MetadataTenant, resources.MetadataNamespace)
	}
	mesh, sp := p.spaceOf(c)
	g := p.groupOf(mesh, sp, groupKey{c.role, c.namespace.Namespace})
	a := &audience{space: sp.space, scopes: g.scopes}
	name := ""
	if c.role != ir.RoleGRPC {
		var err error
		if name, err = p.listeningOf(sp, c, a); err != nil {
			p.releaseGroup(sp, g)
			return nil, err
		}
	}
	a.release = func() {
		p.mu.Lock()
		defer p.mu.Unlock()
		p.releaseGroup(sp, g)
		if name != "" {
			p.releaseListening(sp, name)
		}
	}
	return a, nil
}

func errNotReady() error {
	return fault.New(fault.Unavailable, "this server has not read the registry yet").WithHint("it will in a moment; try again, or another server")
}

// spaceOf finds the resources of a client's tenant and kind, and builds them at its first client.
func (p *publisher) spaceOf(c *client) (*ir.Mesh, *published) {
	t := p.tenants[c.namespace.Tenant]
	if t == nil {
		t = &tenancy{mesh: ir.New(c.namespace.Tenant, p.region)}
		t.mesh.Step(p.view, p.reach, registry.Changes{All: true})
		p.tenants[c.namespace.Tenant] = t
	}
	if sp := t.spaces[c.flavour()]; sp != nil {
		return t.mesh, sp
	}
	sp := &published{
		flavour: c.flavour(), space: newSpace(),
		clusters: map[string]bool{}, groups: map[groupKey]*group{}, listens: map[string]*listening{},
	}
	t.spaces[c.flavour()] = sp
	names := t.mesh.ClusterNames()
	p.world.publish(sp.space, p.changes(t.mesh, sp, ir.Diff{Clusters: names, Endpoints: names}))
	return t.mesh, sp
}

func (p *publisher) groupOf(m *ir.Mesh, sp *published, key groupKey) *group {
	g := sp.groups[key]
	if g == nil {
		g = &group{key: key}
		for t := range g.scopes {
			g.scopes[t] = newScope()
		}
		sp.groups[key] = g
		var b batch
		p.group(&b, sp, m, g)
		p.world.publish(sp.space, b)
	}
	g.refs++
	return g
}

// releaseGroup forgets a group when its last client is gone.
func (p *publisher) releaseGroup(sp *published, g *group) {
	if g.refs--; g.refs > 0 {
		return
	}
	delete(sp.groups, g.key)
	var b batch
	if g.key.role != ir.RoleGRPC {
		b.drops = append(b.drops, drop{resources.Route, resources.RouteName(g.key.role, g.key.namespace)})
	}
	for t, s := range g.scopes {
		b.members = append(b.members, membership{resources.Type(t), s, nil})
	}
	p.world.publish(sp.space, b)
}

// listeningOf adds the listener of a client's address to its audience.
func (p *publisher) listeningOf(sp *published, c *client, a *audience) (string, error) {
	name := resources.ListenerName(c.role, c.namespace.Namespace, c.listen.String())
	l := sp.listens[name]
	if l == nil {
		r, err := resources.EnvoyListener(c.role, c.namespace.Namespace, c.listen)
		if err != nil {
			return "", fmt.Errorf("listener of %s: %w", c.listen, err)
		}
		l = &listening{scope: newScope()}
		sp.listens[name] = l
		p.world.publish(sp.space, batch{
			puts:    []put{{resources.Listener, r}},
			members: []membership{{resources.Listener, l.scope, []string{name}}},
		})
	}
	l.refs++
	a.scopes[resources.Listener] = l.scope
	return name, nil
}

func (p *publisher) releaseListening(sp *published, name string) {
	l := sp.listens[name]
	if l.refs--; l.refs > 0 {
		return
	}
	delete(sp.listens, name)
	p.world.publish(sp.space, batch{
		drops:   []drop{{resources.Listener, name}},
		members: []membership{{resources.Listener, l.scope, nil}},
	})
}
