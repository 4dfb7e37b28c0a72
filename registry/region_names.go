package registry

import (
	"encoding/hex"
	"slices"
	"strings"

	"supercluster/internal/fault"
)

// A name is given by each region to itself, so two that did not hear of each other may have one. No region decides for the others which
// of the two is meant: the name stands for neither, everywhere but in the two, until one of them is renamed.

// SeveralRegions is the error that a name in a field stands for no region, since those with some ids have it.
func SeveralRegions(field, name string, ids []string) *fault.Error {
	ids = slices.Sorted(slices.Values(ids))
	return fault.Field(field, "%q is the name of several regions: %s", name, strings.Join(ids, " and ")).
		WithHint("name the region by its id; `supercluster region rename NAME` in one of them ends the confusion")
}

// nameRanks give what a region may be called by. What an earlier one gives to any region is not taken by a later one: an old name never
// goes before a present one. The names of this region are its own whatever others are called.
var nameRanks = [...]func(r *RegionView) []string{
	func(r *RegionView) []string {
		if r.Region == nil {
			return nil
		}
		return []string{r.idText()}
	},
	func(r *RegionView) []string {
		if !r.IsLocal() {
			return nil
		}
		return append(validNames(r.Region.GetName()), r.Name)
	},
	func(r *RegionView) []string { return []string{r.Name} },
	func(r *RegionView) []string { return validNames(r.Region.GetAliases()...) },
}

// validNames leaves out names that no region can have, such as reserved words.
func validNames(names ...string) []string {
	return slices.DeleteFunc(slices.Clone(names), func(s string) bool { return RegionName("", s) != nil })
}

// namesOf says which region each name stands for, and which names stand for none since several regions have them.
func namesOf(all []*RegionView) (named map[string]*RegionView, several map[string][]*RegionView) {
	named, several = map[string]*RegionView{}, map[string][]*RegionView{}
	for _, rank := range nameRanks {
		claims := map[string][]*RegionView{}
		for _, r := range all {
			for _, s := range rank(r) {
				if !slices.Contains(claims[s], r) {
					claims[s] = append(claims[s], r)
				}
			}
		}
		for s, who := range claims {
			switch {
			case named[s] != nil || several[s] != nil:
			case len(who) == 1:
				named[s] = who[0]
			default:
				several[s] = who
			}
		}
	}
	return named, several
}

// callByID has each region whose name does not stand for it called by its id.
func (t *regions) callByID() {
	for i, r := range t.all {
		if r.Region == nil || t.named[r.Name] == r {
			continue
		}
		byID := *r
		byID.Name = r.idText()
		t.all[i] = &byID
		for s, named := range t.named {
			if named == r {
				t.named[s] = &byID
			}
		}
	}
}

func (r *RegionView) idText() string { return hex.EncodeToString(r.ID[:]) }
