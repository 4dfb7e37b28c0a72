package cli

import (
	"testing"

	"google.golang.org/protobuf/proto"

	pb "supercluster/api/gen/supercluster/v1"
	"supercluster/internal/fault"
)

func TestSelectorOf(t *testing.T) {
	for text, want := range map[string]*pb.Term{
		"service":                {Kind: "service"},
		"config:app/":            {Kind: "config", Name: "app/"},
		"config=app/db":          {Kind: "config", Name: "app/db", Exact: true},
		"config:a=b":             {Kind: "config", Name: "a=b"},
		"config=a:b":             {Kind: "config", Name: "a:b", Exact: true},
		"team-a/config:app/":     {Namespace: "team-a", Kind: "config", Name: "app/"},
		"team-a/":                {Namespace: "team-a"},
		":app/":                  {Name: "app/"},
		"team-a/service=web":     {Namespace: "team-a", Kind: "service", Name: "web", Exact: true},
		"7:x":                    {Kind: "7", Name: "x"},
		"team-a/check-status:w/": {Namespace: "team-a", Kind: "check-status", Name: "w/"},
	} {
		got, err := selectorOf([]string{text})
		if err != nil || len(got) != 1 || !proto.Equal(got[0], want) {
			t.Errorf("%q is %v (%v), want %v", text, got, err, want)
			continue
		}
		if shown := selectorText(got); shown != text {
			t.Errorf("%q is shown as %q", text, shown)
		}
	}
	for _, text := range []string{"", "config=", "a/b/c:x"} {
		if got, err := selectorOf([]string{text}); !fault.Is(err, fault.Invalid) {
			t.Errorf("%q is %v (%v)", text, got, err)
		}
	}
	if got := selectorText(nil); got != "all" {
		t.Errorf("no selector is shown as %q", got)
	}
}
