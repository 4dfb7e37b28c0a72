package resources

import (
	"time"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	routev3 "github.com/envoyproxy/go-control-plane/envoy/config/route/v3"
	previousv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/retry/host/previous_hosts/v3"
	prioritiesv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/retry/priority/previous_priorities/v3"
	matcherv3 "github.com/envoyproxy/go-control-plane/envoy/type/matcher/v3"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/wrapperspb"

	pb "supercluster/api/gen/supercluster/v1"
	"supercluster/xds/ir"
)

const (
	requestTimeout    = time.Minute
	statusUnavailable = 503
	// Retries go to another endpoint. They happen where the request cannot have been worked on; methods that are
	// safe to repeat are also sent again when an endpoint goes away under them.
	retryOn     = "connect-failure,refused-stream,unavailable,reset-before-request"
	retryOnSafe = retryOn + ",reset"
	safeMethods = "GET|HEAD|OPTIONS"
	// The first retry stays in the region that the plan chose, the second one leaves it.
	retries           = 2
	hostAttempts      = 5
	previousHostsName = "envoy.retry_host_predicates.previous_hosts"
	prioritiesName    = "envoy.retry_priorities.previous_priorities"
)

// EnvoyRoutes writes the route configuration of a namespace and role. has tells which clusters exist for the
// client: a route to any other answers 503 by itself, so that no reference is ever broken.
func EnvoyRoutes(role ir.Role, namespace string, t ir.Table, has func(cluster string) bool) (*Resource, error) {
	retry, err := retryPolicy(retryOn)
	if err != nil {
		return nil, err
	}
	retrySafe, err := retryPolicy(retryOnSafe)
	if err != nil {
		return nil, err
	}
	name := RouteName(role, namespace)
	m := &routev3.RouteConfiguration{Name: name, IgnorePortInHostMatching: true}
	for _, host := range t.Hosts {
		vh := &routev3.VirtualHost{Name: host.Name, Domains: []string{host.Name}, RetryPolicy: retry}
		for _, r := range host.Routes {
			if out := route(r, has); out.GetRoute() == nil || r.Protocol == pb.Protocol_PROTOCOL_GRPC {
				vh.Routes = append(vh.Routes, out)
			} else {
				vh.Routes = append(vh.Routes, forSafeMethods(out, retrySafe), out)
			}
		}
		m.VirtualHosts = append(m.VirtualHosts, vh)
	}
	return encode(Route, name, m)
}

func route(r ir.Route, has func(string) bool) *routev3.Route {
	out := &routev3.Route{Name: r.Name, Match: prefix(r.Prefix)}
	if r.Cluster == "" || !has(r.Cluster) {
		out.Action = &routev3.Route_DirectResponse{DirectResponse: &routev3.DirectResponseAction{
			Status: statusUnavailable,
			Body: &corev3.DataSource{Specifier: &corev3.DataSource_InlineString{
				InlineString: "no service " + r.Target + "\n",
			}},
		}}
		return out
	}
	timeout := requestTimeout
	if r.Protocol == pb.Protocol_PROTOCOL_GRPC {
		timeout = 0 // calls carry their own deadline, and streams have none
	}
	out.Action = &routev3.Route_Route{Route: &routev3.RouteAction{
		ClusterSpecifier: &routev3.RouteAction_Cluster{Cluster: r.Cluster},
		Timeout:          durationpb.New(timeout),
	}}
	return out
}

// forSafeMethods is a route again, for the methods that are safe to repeat.
func forSafeMethods(r *routev3.Route, retry *routev3.RetryPolicy) *routev3.Route {
	action := r.GetRoute()
	match := prefix(r.GetMatch().GetPrefix())
	match.Headers = []*routev3.HeaderMatcher{{
		Name: ":method",
		HeaderMatchSpecifier: &routev3.HeaderMatcher_StringMatch{StringMatch: &matcherv3.StringMatcher{
			MatchPattern: &matcherv3.StringMatcher_SafeRegex{SafeRegex: &matcherv3.RegexMatcher{Regex: safeMethods}},
		}},
	}}
	return &routev3.Route{
		Name:  r.GetName(),
		Match: match,
		Action: &routev3.Route_Route{Route: &routev3.RouteAction{
			ClusterSpecifier: action.GetClusterSpecifier(),
			Timeout:          action.GetTimeout(),
			RetryPolicy:      retry,
		}},
	}
}

func prefix(p string) *routev3.RouteMatch {
	return &routev3.RouteMatch{PathSpecifier: &routev3.RouteMatch_Prefix{Prefix: p}}
}

func retryPolicy(on string) (*routev3.RetryPolicy, error) {
	previous, err := pack(&previousv3.PreviousHostsPredicate{})
	if err != nil {
		return nil, err
	}
	priorities, err := pack(&prioritiesv3.PreviousPrioritiesConfig{UpdateFrequency: retries})
	if err != nil {
		return nil, err
	}
	return &routev3.RetryPolicy{
		RetryOn:    on,
		NumRetries: wrapperspb.UInt32(retries),
		RetryPriority: &routev3.RetryPolicy_RetryPriority{
			Name:       prioritiesName,
			ConfigType: &routev3.RetryPolicy_RetryPriority_TypedConfig{TypedConfig: priorities},
		},
		RetryHostPredicate: []*routev3.RetryPolicy_RetryHostPredicate{{
			Name:       previousHostsName,
			ConfigType: &routev3.RetryPolicy_RetryHostPredicate_TypedConfig{TypedConfig: previous},
		}},
		HostSelectionRetryMaxAttempts: hostAttempts,
	}, nil
}

// GRPCRoutes writes the routes behind a gRPC client's target: everything goes to the cluster of that name.
func GRPCRoutes(c ir.Cluster) (*Resource, error) {
	return encode(Route, c.Name, &routev3.RouteConfiguration{
		Name: c.Name,
		VirtualHosts: []*routev3.VirtualHost{{
			Name:    c.Name,
			Domains: []string{"*"},
			Routes: []*routev3.Route{{
				Match: prefix(""),
				Action: &routev3.Route_Route{Route: &routev3.RouteAction{
					ClusterSpecifier: &routev3.RouteAction_Cluster{Cluster: c.Name},
				}},
			}},
		}},
	})
}
