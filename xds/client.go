package xds

import (
	"net/netip"
	"strings"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"

	"supercluster/internal/fault"
	"supercluster/registry"
	"supercluster/xds/ir"
	"supercluster/xds/resources"
)

// client is who is at the other end of a stream, by its first request.
type client struct {
	id        string
	role      ir.Role
	namespace registry.NamespaceKey
	listen    netip.AddrPort // of an Envoy
	zone      string
	agent     string
}

// flavour is the kind of client that resources are written for.
type flavour uint8

const (
	forEnvoy flavour = iota
	forGRPC
	flavours
)

func (c *client) flavour() flavour {
	if c.role == ir.RoleGRPC {
		return forGRPC
	}
	return forEnvoy
}

// kind is the word for it in `proxy ls`.
func (c *client) kind() string {
	if c.role == ir.RoleGRPC {
		return "grpc"
	}
	return "envoy"
}

// identify reads what a client says of itself. Who it is was decided by its certificate; this only narrows what
// it asks for. A role that is not known is refused: an empty configuration would take a running proxy down.
func identify(n *corev3.Node, limits *Limits) (*client, error) {
	if n.GetId() == "" || len(n.GetId()) > limits.NodeIDBytes {
		return nil, fault.Field("node.id", "has %d bytes; it must have 1 to %d", len(n.GetId()), limits.NodeIDBytes)
	}
	agent := n.GetUserAgentName()
	if v := n.GetUserAgentVersion(); v != "" {
		agent += " " + v
	}
	c := &client{
		id:        n.GetId(),
		role:      ir.Role(metadata(n, resources.MetadataRole)),
		namespace: registry.NamespaceOf(metadata(n, resources.MetadataTenant), metadata(n, resources.MetadataNamespace)),
		zone:      n.GetLocality().GetZone(),
		agent:     truncate(agent, limits.NodeIDBytes),
	}
	if c.role == "" && strings.HasPrefix(strings.ToLower(agent), "grpc") {
		c.role = ir.RoleGRPC
	}
	switch c.role {
	case ir.RoleGRPC:
		return c, nil
	case ir.RoleEdge, ir.RoleSidecar:
		listen, err := resources.ParseListen("node.metadata "+resources.MetadataListen, metadata(n, resources.MetadataListen))
		c.listen = listen
		return c, err
	default:
		return nil, fault.Field("node.metadata "+resources.MetadataRole, "%q is not a role: edge, sidecar or grpc",
			truncate(string(c.role), limits.NodeIDBytes)).WithHint("make a bootstrap with `supercluster proxy bootstrap`")
	}
}

func metadata(n *corev3.Node, key string) string {
	return n.GetMetadata().GetFields()[key].GetStringValue()
}

func truncate(s string, limit int) string {
	if len(s) > limit {
		return strings.ToValidUTF8(s[:limit], "")
	}
	return s
}
