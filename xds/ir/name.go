package ir

import (
	"strings"

	"supercluster/registry"
)

// Name is how clients call a port of a service: `<service>[.<namespace>[.<port>]]`. The namespace is left out when
// it is `default` and no port follows; the port is left out when it is the default one.
func Name(service, namespace, port string) string {
	switch {
	case port != "":
		return service + "." + namespace + "." + port
	case namespace != registry.DefaultNamespace:
		return service + "." + namespace
	default:
		return service
	}
}

// ParseName undoes Name. It accepts only the shortest form, so that a name belongs to one thing and back.
func ParseName(name string) (service, namespace, port string, ok bool) {
	service, rest, _ := strings.Cut(name, ".")
	namespace, port, _ = strings.Cut(rest, ".")
	if namespace == "" {
		namespace = registry.DefaultNamespace
	}
	if service == "" || strings.Contains(port, ".") || Name(service, namespace, port) != name {
		return "", "", "", false
	}
	return service, namespace, port, true
}
