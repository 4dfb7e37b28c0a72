package main

import (
	"context"
	"fmt"
	"slices"
	"time"

	pb "supercluster/api/gen/supercluster/v1"
	"supercluster/chaos/fleet"
)

// equal waits until every region is equal to its sources, by digest.
func (k *killing) equal(ctx context.Context) error {
	begin := time.Now()
	for _, r := range k.fleet.Regions {
		err := r.Equal(ctx, time.Minute)
		k.Check(err == nil, "%s is equal to its sources by digest (after %v)%s", r.Name, time.Since(begin).Round(time.Millisecond), because(err))
	}
	return nil
}

func because(err error) string {
	if err == nil {
		return ""
	}
	return ": " + err.Error()
}

// caughtUp waits until every watch has shown what was written last.
func (k *killing) caughtUp(ctx context.Context) error {
	for _, a := range k.authors {
		if err := a.put(a.region.Name+"/last", "last-"+a.region.Name, "last"); err != nil {
			return err
		}
	}
	for _, r := range k.readers {
		for deadline := time.Now().Add(30 * time.Second); ; time.Sleep(10 * time.Millisecond) {
			r.mu.Lock()
			missing := slices.DeleteFunc(sites(), func(site string) bool { return r.versions[site+"/last"] > 0 })
			r.mu.Unlock()
			if len(missing) == 0 {
				break
			}
			if time.Now().After(deadline) || ctx.Err() != nil {
				return fmt.Errorf("the watch of %s does not show what %v wrote last", r.region.Name, missing)
			}
		}
	}
	return nil
}

// entry is what matters of a config entry.
type entry struct {
	value   string
	version uint64
}

// entries lists what a region shows of all entries.
func entries(ctx context.Context, r *fleet.Region) (map[string]entry, error) {
	all, token := map[string]entry{}, ""
	for {
		answer, err := pb.NewConfigServiceClient(r.Conns[0]).ListConfigs(ctx, &pb.ListConfigsRequest{PageSize: 5000, PageToken: token})
		if err != nil {
			return nil, err
		}
		for _, c := range answer.GetConfigs() {
			all[c.GetName()] = entry{string(c.GetValue()), c.GetMeta().GetVersion()}
		}
		if token = answer.GetNextPageToken(); token == "" {
			return all, nil
		}
	}
}

func instances(ctx context.Context, r *fleet.Region, name string) (map[string]bool, error) {
	all, token := map[string]bool{}, ""
	for {
		answer, err := pb.NewRegistryServiceClient(r.Conns[0]).ListInstances(ctx, &pb.ListInstancesRequest{Service: name, PageSize: 1000, PageToken: token})
		if err != nil {
			return nil, err
		}
		for _, i := range answer.GetInstances() {
			all[i.GetId()] = true
		}
		if token = answer.GetNextPageToken(); token == "" {
			return all, nil
		}
	}
}

// judge compares what was acknowledged with what every region has.
func (k *killing) judge(ctx context.Context) error {
	k.Check(len(k.flows)+len(k.deadFlows) == k.kills, "records went both ways again after each of %d kills: %s, and %s", k.kills,
		spread("started again", k.flows), spread("stayed dead", k.deadFlows))
	var reference map[string]entry
	for i, r := range k.fleet.Regions {
		have, err := entries(ctx, r)
		if err != nil {
			return err
		}
		if i == 0 {
			reference = have
		}
		k.Check(same(reference, have), "%s shows the same %d entries, values and versions as %s", r.Name, len(have), k.fleet.Regions[0].Name)
		for _, a := range k.authors {
			if err := k.judgeAuthor(ctx, a, r, have); err != nil {
				return err
			}
		}
		reader := k.readers[i]
		k.Check(len(reader.twice) == 0 && reader.events > 0, "the watch of %s showed %d changes, none twice %s", r.Name, reader.events, first(reader.twice))
	}
	return nil
}

func spread(what string, all []time.Duration) string {
	slices.Sort(all)
	if len(all) == 0 {
		return "none " + what
	}
	return fmt.Sprintf("%d %s (p50 %v, max %v)", len(all), what, all[len(all)/2].Round(time.Millisecond), all[len(all)-1].Round(time.Millisecond))
}

func same(a, b map[string]entry) bool {
	for name, e := range a {
		if b[name] != e {
			return false
		}
	}
	return len(a) == len(b)
}

// judgeAuthor looks for what one region's writers were told is written in what another region has.
func (k *killing) judgeAuthor(ctx context.Context, a *author, r *fleet.Region, have map[string]entry) error {
	var lost, twice []string
	for _, name := range a.entries {
		switch have[name].version {
		case 0:
			lost = append(lost, name)
		case 1:
		default:
			twice = append(twice, name)
		}
	}
	listed, err := instances(ctx, r, service(a.region.Name))
	if err != nil {
		return err
	}
	for id := range a.instances {
		if !listed[id] {
			lost = append(lost, "instance "+id)
		}
	}
	unknown := int(a.unknown.Load())
	for name, n := range a.counts {
		if v := int(have[name].version); v < n || v > n+unknown {
			twice = append(twice, fmt.Sprintf("%s: %d writes, version %d", name, n, v))
		}
	}
	k.Check(len(lost) == 0 && len(twice) == 0, "%s has every of %d entries and %d instances that %s acknowledged, each applied once (%d retries, %d unknown) %s %s",
		r.Name, len(a.entries), len(a.instances), a.region.Name, a.servers.Retried(), unknown, first(lost), first(twice))
	return nil
}

func first(all []string) string {
	if len(all) == 0 {
		return ""
	}
	return fmt.Sprintf("(%d, such as %s)", len(all), all[0])
}
