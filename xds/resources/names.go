package resources

import (
	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"

	"supercluster/xds/ir"
)

// RouteName is the name of an Envoy's route configuration: one for each namespace and role.
func RouteName(role ir.Role, namespace string) string { return string(role) + "." + namespace }

// ListenerName is the name of an Envoy's listener: one for each address that Envoys of a namespace and role
// listen on.
func ListenerName(role ir.Role, namespace, address string) string {
	return string(role) + "." + namespace + "@" + address
}

// configSource says that what is referred to comes over the same stream. It must never change (invariant I3).
func configSource() *corev3.ConfigSource {
	return &corev3.ConfigSource{
		ResourceApiVersion:    corev3.ApiVersion_V3,
		ConfigSourceSpecifier: &corev3.ConfigSource_Ads{Ads: &corev3.AggregatedConfigSource{}},
	}
}
