package server

import (
	"context"
	"fmt"
	"strings"

	"google.golang.org/protobuf/types/known/durationpb"

	pb "supercluster/api/gen/supercluster/v1"
	"supercluster/federation/plan"
	"supercluster/region/record"
	"supercluster/registry"
	"supercluster/registry/access"
	"supercluster/xds/ir"
)

// maxExplained bounds the endpoints that one answer explains.
const maxExplained = 1000

// Explain shows the plan of Lookup and what led to it.
func (r registryService) Explain(ctx context.Context, req *pb.ExplainRequest) (*pb.ExplainResponse, error) {
	c := callFrom(ctx)
	if err := decide(c, on(access.VerbGet, access.KindService, req.GetTenant(), req.GetNamespace(), req.GetService())); err != nil {
		return nil, err
	}
	if err := decide(c, on(access.VerbList, access.KindRoute, req.GetTenant(), req.GetNamespace(), "")); err != nil {
		return nil, err
	}
	p, err := r.s.plan(ctx, req)
	if err != nil {
		return nil, err
	}
	e := explainer{planned: p, instance: req.GetInstance()}
	return e.answer(), p.bounded()
}

// explainer writes one plan down with what led to it.
type explainer struct {
	*planned
	instance string
	resp     *pb.ExplainResponse
}

func (e *explainer) answer() *pb.ExplainResponse {
	e.resp = &pb.ExplainResponse{
		Header: e.header, Rule: e.plan.Rule, Protocol: e.plan.Protocol, LastKnown: e.plan.LastKnown(), Island: e.plan.Island,
	}
	for n := range e.plan.Regions {
		e.resp.Regions = append(e.resp.Regions, e.region(&e.plan.Regions[n]))
	}
	e.tiers()
	for n := range e.plan.Draining {
		e.endpoint(&e.plan.Draining[n], 0, 0, drainsReason)
	}
	for n := range e.plan.Excluded {
		e.endpoint(&e.plan.Excluded[n].Endpoint, 0, 0, e.plan.Excluded[n].Reason)
	}
	if d := e.service.Definition; d != nil {
		e.resp.Definition = &pb.ExplainedRecord{
			Kind: "service", Name: e.service.Key.Name, Says: definitionSays(d),
			Source: e.view.placed(e.service.DefinitionOrigin, e.service.DefinitionMeta.ModifyRevision),
		}
	}
	e.routes()
	return e.resp
}

func definitionSays(d *pb.Service) string {
	text := "protocol " + strings.ToLower(strings.TrimPrefix(d.GetProtocol().String(), "PROTOCOL_"))
	if d.GetProtocol() == pb.Protocol_PROTOCOL_UNSPECIFIED {
		text = "no protocol: http"
	}
	if d.GetFailClosed() {
		return text + "; nobody is used when no instance is healthy (fail-closed)"
	}
	return text + "; the last known are used when no instance is healthy"
}

// region says where a region stands, and why.
func (e *explainer) region(r *plan.Region) *pb.ExplainedRegion {
	out := &pb.ExplainedRegion{
		Region: r.Reach.Region, State: pb.RegionState_REGION_STATE_UP, Why: "this region comes first",
		Instances: uint32(r.Instances), Serving: uint32(r.Serving),
	}
	out.Age = e.view.source(r.Alias, r.Reach.Region, 0, 0).GetAge()
	if r.Alias == record.ScopeRegion {
		return out
	}
	out.State = stateOf[r.Reach.State]
	out.Why = "its cost is not known, so it stands by its name behind those whose cost is"
	if r.Reach.Cost >= 0 {
		out.Cost = durationpb.New(r.Reach.Cost)
		out.Why = "by its cost"
	}
	switch {
	case r.Reach.State == plan.StateAway && e.plan.Island:
		out.Why += "; it is away, which counts for nothing while this region reaches nobody"
	case r.Reach.State == plan.StateAway:
		out.Why = "it is away, so it stands behind all that are not"
	case r.Reach.State == plan.StateSuspect:
		out.Why += "; it is suspect, which moves nothing yet"
	}
	if r.Reach.Why != "" {
		out.Why += " (" + r.Reach.Why + ")"
	}
	return out
}

var stateOf = map[plan.State]pb.RegionState{
	plan.StateUp: pb.RegionState_REGION_STATE_UP, plan.StateSuspect: pb.RegionState_REGION_STATE_SUSPECT,
	plan.StateAway: pb.RegionState_REGION_STATE_AWAY,
}

// tiers writes the tiers and their endpoints.
func (e *explainer) tiers() {
	for _, tier := range e.plan.Tiers {
		total := uint64(0)
		for _, l := range tier.Localities {
			total += uint64(l.Weight)
		}
		out := &pb.ExplainedTier{Priority: tier.Priority, Region: tier.Localities[0].Region}
		for _, l := range tier.Localities {
			out.Localities = append(out.Localities, &pb.ExplainedLocality{
				Zone: l.Zone, Weight: uint64(l.Weight), Endpoints: uint32(len(l.Endpoints)), Share: float64(l.Weight) / float64(total),
			})
			for n := range l.Endpoints {
				e.endpoint(&l.Endpoints[n], tier.Priority, float64(l.Endpoints[n].Weight)/float64(total), "")
			}
		}
		e.resp.Tiers = append(e.resp.Tiers, out)
	}
}

// endpoint writes an endpoint and the records that it is made of.
func (e *explainer) endpoint(ep *plan.Endpoint, priority uint32, share float64, excluded string) {
	if e.instance != "" && ep.Instance != e.instance {
		return
	}
	if len(e.resp.Endpoints) == maxExplained {
		e.resp.EndpointsLeftOut++
		return
	}
	e.resp.Endpoints = append(e.resp.Endpoints, &pb.ExplainedEndpoint{
		Endpoint: endpointAnswer(e.view, ep, priority), Share: share, Excluded: excluded, Records: e.records(ep),
	})
}

func (e *explainer) records(ep *plan.Endpoint) []*pb.ExplainedRecord {
	in, ok := e.service.InstanceIn(ep.Scope, ep.Instance)
	if !ok {
		return nil
	}
	var out []*pb.ExplainedRecord
	for _, w := range in.Written() {
		out = append(out, &pb.ExplainedRecord{
			Kind: recordKinds[w.Kind], Name: w.Name, Says: recordSays(in, w),
			Source: e.view.source(ep.Scope, ep.Region, w.Revision, w.Incarnation),
		})
	}
	return out
}

var recordKinds = map[record.Kind]string{
	record.KindInstance: "instance", record.KindCheck: "check", record.KindCheckStatus: "check-status",
}

// recordSays is what a record of an instance says, for people.
func recordSays(in *registry.InstanceView, w registry.Written) string {
	if w.Kind == record.KindInstance {
		text := fmt.Sprintf("%s port %d, weight %d", in.Instance.GetAddress(), in.Instance.GetPort(), in.Instance.GetWeight())
		if in.Instance.GetDraining() {
			text += ", draining"
		}
		return text
	}
	for n, check := range in.Checks {
		switch status := in.Status[n]; {
		case check.GetId() != w.Check:
		case w.Kind == record.KindCheck:
			return strings.ToLower(strings.TrimPrefix(check.GetType().String(), "CHECK_TYPE_")) + " " + check.GetPath()
		case status != nil:
			return strings.ToLower(strings.TrimPrefix(status.GetHealth().String(), "HEALTH_")) + colon(status.GetOutput())
		}
	}
	return "a status of a check that is not there"
}

func colon(s string) string {
	if s == "" {
		return ""
	}
	return ": " + s
}

// routes writes the routes that lead to the service. Of two with one host and prefix the first by name counts.
func (e *explainer) routes() {
	key := e.service.Key
	first := map[string]string{}
	for rv := range e.view.Routes(key.Tenant, key.Namespace) {
		prefix := rv.Route.GetPrefix()
		var hidden []string
		for _, host := range rv.Route.GetHosts() {
			if by, taken := first[host+prefix]; taken {
				hidden = append(hidden, host+": "+by)
			} else {
				first[host+prefix] = rv.Key.Name
			}
		}
		if rv.Route.GetService() != key.Name {
			continue
		}
		e.resp.Routes = append(e.resp.Routes, &pb.ExplainedRoute{
			Name: rv.Key.Name, Hosts: rv.Route.GetHosts(), Prefix: prefix, Port: rv.Route.GetPort(),
			Cluster: ir.Name(key.Name, key.Namespace, rv.Route.GetPort()), Hidden: hidden,
			Record: &pb.ExplainedRecord{
				Kind: "route", Name: rv.Key.Name, Source: e.view.placed(rv.Origin, rv.ModifyRevision),
				Says: strings.Join(rv.Route.GetHosts(), ",") + prefix + " to " + rv.Route.GetService(),
			},
		})
	}
}
