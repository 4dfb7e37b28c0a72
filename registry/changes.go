package registry

import "maps"

// Changes says what differs between two views. Summaries are no part of it: see SummaryView.
type Changes struct {
	// All: everything may differ, and the other fields do not tell.
	All bool
	// Services whose definition, instances or health differ, gone ones included.
	Services map[ServiceKey]struct{}
	// Routes are the namespaces whose routes differ.
	Routes map[NamespaceKey]struct{}
	// Tenancy: tenants or namespaces came, went or changed.
	Tenancy bool
	// Nodes: the servers of the region differ.
	Nodes bool
	// Regions: what is known of this region or its peers differs.
	Regions bool
}

// IsEmpty reports whether nothing changed.
func (c *Changes) IsEmpty() bool {
	return !c.All && !c.Tenancy && !c.Nodes && !c.Regions && len(c.Services) == 0 && len(c.Routes) == 0
}

// Merge adds the changes of a later step. o stays as it is and is not kept.
func (c *Changes) Merge(o Changes) {
	c.All = c.All || o.All
	c.Tenancy = c.Tenancy || o.Tenancy
	c.Nodes = c.Nodes || o.Nodes
	c.Regions = c.Regions || o.Regions
	if c.Services == nil {
		c.Services = maps.Clone(o.Services)
	} else {
		maps.Copy(c.Services, o.Services)
	}
	if c.Routes == nil {
		c.Routes = maps.Clone(o.Routes)
	} else {
		maps.Copy(c.Routes, o.Routes)
	}
}

func (c *Changes) service(k ServiceKey) {
	if c.Services == nil {
		c.Services = map[ServiceKey]struct{}{}
	}
	c.Services[k] = struct{}{}
}

func (c *Changes) routes(k NamespaceKey) {
	if c.Routes == nil {
		c.Routes = map[NamespaceKey]struct{}{}
	}
	c.Routes[k] = struct{}{}
}
