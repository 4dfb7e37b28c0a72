package plan

import (
	"fmt"
	"strings"

	"supercluster/region/record"
)

// ruleRegions bounds how many other regions a rule names.
const ruleRegions = 8

// rule says what decided.
func (b *builder) rule() string {
	text := b.regionsRule()
	if b.Island && len(b.shares) > 1 {
		text += "; this region reaches no other, so it demotes none"
	}
	return text
}

// regionsRule says which regions serve.
func (b *builder) regionsRule() string {
	mine, others := b.shares[0], b.shares[1:]
	switch {
	case b.only != nil:
		return b.onlyRule()
	case b.Query.AllRegions && len(b.service.Instances) > 0:
		return "all regions, nearest first: " + listed(b.shares)
	case mine.serving == 0 && len(b.Tiers) > 0:
		return "failover: " + none(mine) + "; " + listed(others)
	case mine.serving == 0 && len(others) > 0:
		return "local: " + none(mine) + ", nor elsewhere: " + listed(others)
	case mine.serving == 0:
		return "local: " + none(mine)
	case len(others) > 0:
		return "local: " + some(mine) + "; then " + listed(others)
	default:
		return "local: " + some(mine)
	}
}

// onlyRule says what decided when one region was asked for.
func (b *builder) onlyRule() string {
	for _, r := range b.shares {
		if r.scope == b.only.Alias {
			if r.serving == 0 {
				return "one region: " + none(r)
			}
			return "one region: " + some(r)
		}
	}
	return "one region: " + none(share{region: b.only.Name})
}

func some(r share) string {
	return fmt.Sprintf("%d of %d instances in region %q", r.serving, len(r.instances), r.region)
}

func none(r share) string {
	if len(r.instances) == 0 {
		return fmt.Sprintf("the service has no instance in region %q", r.region)
	}
	return fmt.Sprintf("none of %d instances in region %q is healthy and stays", len(r.instances), r.region)
}

// listed names regions with what serves there.
func listed(all []share) string {
	var b strings.Builder
	for n, r := range all {
		if r.scope == record.ScopeRegion && len(r.instances) == 0 {
			continue
		}
		if n == ruleRegions {
			fmt.Fprintf(&b, " and %d more", len(all)-n)
			break
		}
		if b.Len() > 0 {
			b.WriteString(", ")
		}
		fmt.Fprintf(&b, "%q %d of %d", r.region, r.serving, len(r.instances))
		if r.reach.State != StateUp {
			fmt.Fprintf(&b, " (%s)", r.reach.State)
		}
	}
	return b.String()
}
