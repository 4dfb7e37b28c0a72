package access

import (
	"context"
	"fmt"
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

// RoleNamed finds a role by its name; a name that this version does not know is of no role.
func RoleNamed(name string) (Role, bool) {
	for r, n := range roleNames {
		if n == name {
			return Role(r), true
		}
	}
	return RoleAnonymous, false
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

	KindFederation = "federation" // what is exchanged with other regions: channels, imports, links
	KindRegion     = "region"     // the other regions: inviting, accepting and removing them; this one's name and fence
	KindPlacement  = "placement"  // which region is the home of which records
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
		KindProxy, KindXDS, KindBootstrap, KindFederation, KindRegion, KindPlacement,
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
	// Reason is the role that allows it, or why nobody or this role may; it names nothing that the caller does not know.
	Reason string
}

// known reports whether this version knows the verb and the kind of a request.
func known(r Request) bool {
	switch r.Verb {
	case VerbGet, VerbList, VerbWatch, VerbCreate, VerbPut, VerbDelete, VerbHeartbeat, VerbAdmin, VerbDiscover:
	default:
		return false
	}
	switch r.Kind {
	case KindTenant, KindNamespace, KindService, KindInstance, KindRoute, KindConfig, KindEvents, KindCluster, KindProxy,
		KindXDS, KindBootstrap, KindFederation, KindRegion, KindPlacement:
		return true
	default:
		return false
	}
}

// allows says what a role may do of what is known. Until the identity work, roles are for all tenants.
func allows(role Role, r Request) bool {
	switch role {
	case RoleOperator, RoleDev:
		return true
	case RoleReader:
		switch r.Verb {
		case VerbGet, VerbList, VerbWatch:
			return true
		case VerbDiscover:
			return r.Kind == KindService || r.Kind == KindBootstrap
		}
	case RoleProxy:
		return r.Verb == VerbDiscover && (r.Kind == KindXDS || r.Kind == KindBootstrap || r.Kind == KindService)
	}
	return false
}

// Decide says whether a principal may do something. Every call passes here twice, so permission costs no allocation.
func Decide(p Principal, r Request) Decision {
	switch {
	case !known(r):
		return Decision{Reason: "nobody may " + string(r.Verb) + " " + r.Kind + ": it is not known"}
	case allows(p.Role, r):
		return Decision{Allow: true, Reason: p.Role.String()}
	default:
		return Decision{Reason: "role " + p.Role.String() + " may not " + string(r.Verb) + " " + r.Kind}
	}
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
