package access

import "context"

// Role is what a principal is trusted with.
type Role uint8

// The roles. The zero role may do nothing.
const (
	RoleAnonymous Role = iota // nobody we know: health only, which asks for no decision
	RoleProxy                 // receives configuration over xDS
	RoleReader                // reads everything
	RoleOperator              // reads and writes everything
	RoleDev                   // everybody, in `dev` alone
)

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
	KindEvents    = "events" // the watch over kinds
	KindCluster   = "cluster"
	KindProxy     = "proxy"
	KindXDS       = "xds"
	KindBootstrap = "bootstrap"
)

// Request is what a principal wants to do.
type Request struct {
	Verb      Verb
	Kind      string
	Tenant    string
	Namespace string
	Name      string
}

// Decision is the answer.
type Decision struct {
	Allow  bool
	Reason string // which rule decided, for people
}

// Decide says whether a principal may do something.
func Decide(p Principal, r Request) Decision { return Decision{} }

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
