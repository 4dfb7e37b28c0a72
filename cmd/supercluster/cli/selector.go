package cli

import (
	"strings"

	"github.com/spf13/cobra"

	pb "supercluster/api/gen/supercluster/v1"
	"supercluster/internal/fault"
)

// selectFlag adds --select, which names records.
func selectFlag(cmd *cobra.Command, none string) *[]string {
	return cmd.Flags().StringArray("select", nil,
		"records to select: KIND, KIND:PREFIX or KIND=NAME, in one namespace as NAMESPACE/KIND:PREFIX; may be given several times; "+none)
}

// selectorOf reads the values of --select.
func selectorOf(texts []string) ([]*pb.Term, error) {
	var all []*pb.Term
	for _, text := range texts {
		var t pb.Term
		left := text
		if at := strings.IndexAny(text, ":="); at >= 0 {
			left, t.Name, t.Exact = text[:at], text[at+1:], text[at] == '='
		}
		var found bool
		if t.Namespace, t.Kind, found = strings.Cut(left, "/"); !found {
			t.Namespace, t.Kind = "", left
		}
		switch {
		case text == "" || strings.Contains(t.Kind, "/"):
			return nil, fault.Field("--select", "%q is not KIND, KIND:PREFIX or KIND=NAME", text).
				WithHint("such as service, config:app/ or team-a/config=app/db")
		case t.Exact && t.Name == "":
			return nil, fault.Field("--select", "%q names nothing after =", text).WithHint("%s alone selects all of that kind", left)
		}
		all = append(all, &t)
	}
	return all, nil
}

// selectorText shows a selector as --select takes it.
func selectorText(terms []*pb.Term) string {
	if len(terms) == 0 {
		return "all"
	}
	all := make([]string, 0, len(terms))
	for _, t := range terms {
		text := t.GetKind()
		if t.GetNamespace() != "" {
			text = t.GetNamespace() + "/" + text
		}
		switch {
		case t.GetExact():
			text += "=" + t.GetName()
		case t.GetName() != "" || text == "":
			text += ":" + t.GetName()
		}
		all = append(all, text)
	}
	return strings.Join(all, " ")
}
