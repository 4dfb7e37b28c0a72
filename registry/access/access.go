package access

import (
	"context"
	"fmt"
	"slices"
)

// Role is what a principal is trusted with.
type Role uint8

// The roles. The zero role may do nothing.
const (
	RoleAnonymous Role = iota // nobody we know: health only, which asks for no decision
	RoleProxy                 // asks where services are and receives configuration over xDS
	RoleReader                // reads everything
	RoleOperator              // reads and writes everything
	RoleDev                   // everybody, in `dev` alone
)

var roleNames = [...]string{"anonymous", "proxy", "reader", "operator", "dev"}

// String names the role as the configuration does.
func (r Role) String() string {
	if int(r) < len(roleNames) {
		return roleNames[r]
	}
	return fmt.Sprintf("role-%d", uint8(r))
}

// Principal is who calls.
type Principal struct {
	Name string
	Role Role
}

// Verb is what a call does.
type Verb string

// The verbs.
const (
	VerbGet       Verb = "get"
	VerbList      Verb = "list"
	VerbWatch     Verb = "watch"
	VerbCreate    Verb = "create"
	VerbPut       Verb = "put"
	VerbDelete    Verb = "delete"
	VerbHeartbeat Verb = "heartbeat"
	VerbAdmin     Verb = "admin"
	VerbDiscover  Verb = "discover" // lookups, xDS and what a bootstrap names
)

// The kinds of things that requests are about.
const (
	KindTenant    = "tenant"
	KindNamespace = "namespace"
	KindService   = "service"
	KindInstance  = "instance"
	KindRoute     = "route"
	KindConfig    = "config"
	KindEvents    = "events"    // the watch over all kinds
	KindCluster   = "cluster"   // status, members, compaction
	KindProxy     = "proxy"     // the list of connected xDS clients
	KindXDS       = "xds"       // being such a client
	KindBootstrap = "bootstrap" // what such a client's bootstrap names
)

// Verbs lists every verb.
func Verbs() []Verb {
	return []Verb{
		VerbGet, VerbList, VerbWatch, VerbCreate, VerbPut, VerbDelete, VerbHeartbeat, VerbAdmin, VerbDiscover,
	}
}

// Kinds lists every kind.
func Kinds() []string {
	return []string{
		KindTenant, KindNamespace, KindService, KindInstance, KindRoute, KindConfig, KindEvents, KindCluster,
		KindProxy, KindXDS, KindBootstrap,
	}
}

// Request is what a principal wants to do. Tenant, Namespace and Name may be empty where a call names none.
type Request struct {
	Verb      Verb
	Kind      string
	Tenant    string
	Namespace string
	Name      string
}

// Decision is the answer.
type Decision struct {
	Allow bool
	// Reason is which rule decided, for people; it names nothing that the caller does not know.
	Reason string
}

// rule is what a role may do: these verbs on these kinds; nil stands for all known ones.
type rule struct {
	verbs []Verb
	kinds []string
}

// rules of a role; one that takes the request is enough. Until the identity work, roles are for all tenants.
func rules(r Role) []rule {
	switch r {
	case RoleProxy:
		return []rule{{[]Verb{VerbDiscover}, []string{KindXDS, KindBootstrap, KindService}}}
	case RoleReader:
		return []rule{
			{[]Verb{VerbGet, VerbList, VerbWatch}, nil},
			{[]Verb{VerbDiscover}, []string{KindService, KindBootstrap}},
		}
	case RoleOperator, RoleDev:
		return []rule{{nil, nil}}
	default:
		return nil
	}
}

// Decide says whether a principal may do something.
func Decide(p Principal, r Request) Decision {
	if !slices.Contains(Verbs(), r.Verb) || !slices.Contains(Kinds(), r.Kind) {
		return Decision{Reason: "nobody may " + string(r.Verb) + " " + r.Kind + ": it is not known"}
	}
	for _, rule := range rules(p.Role) {
		if (rule.verbs == nil || slices.Contains(rule.verbs, r.Verb)) &&
			(rule.kinds == nil || slices.Contains(rule.kinds, r.Kind)) {
			// Every call passes here twice: the text is one concatenation, not a format.
			return Decision{Allow: true, Reason: "role " + p.Role.String() + " may " + string(r.Verb) + " " + r.Kind}
		}
	}
	return Decision{Reason: "role " + p.Role.String() + " may not " + string(r.Verb) + " " + r.Kind}
}

type contextKey struct{}

// WithPrincipal puts a principal into a context.
func WithPrincipal(ctx context.Context, p Principal) context.Context {
	return context.WithValue(ctx, contextKey{}, p)
}

// PrincipalFrom finds the principal of a context; a context without one is anonymous.
func PrincipalFrom(ctx context.Context) Principal {
	p, _ := ctx.Value(contextKey{}).(Principal)
	return p
}
