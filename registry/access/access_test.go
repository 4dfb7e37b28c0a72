package access

import (
	"context"
	"strings"
	"testing"
)

// TestDecide is the whole table: for each role, the verbs it may use on each kind.
func TestDecide(t *testing.T) {
	read := []Verb{VerbGet, VerbList, VerbWatch}
	all := Verbs()
	want := map[Role]map[string][]Verb{
		RoleAnonymous: {},
		RoleProxy:     {KindXDS: {VerbDiscover}, KindBootstrap: {VerbDiscover}, KindService: {VerbDiscover}},
		RoleReader:    {},
		RoleOperator:  {},
		RoleDev:       {},
		Role(99):      {},
	}
	for _, kind := range Kinds() {
		want[RoleReader][kind] = read
		want[RoleOperator][kind] = all
		want[RoleDev][kind] = all
	}
	want[RoleReader][KindService] = append([]Verb{VerbDiscover}, read...)
	want[RoleReader][KindBootstrap] = append([]Verb{VerbDiscover}, read...)

	for role, kinds := range want {
		for _, kind := range append(Kinds(), "secret", "") {
			for _, verb := range append(Verbs(), "steal", "") {
				allow := false
				for _, v := range kinds[kind] {
					allow = allow || v == verb
				}
				d := Decide(Principal{Name: "p", Role: role}, Request{Verb: verb, Kind: kind, Tenant: "t", Name: "n"})
				if d.Allow != allow {
					t.Errorf("%v may %s %s: %v, want %v (%s)", role, verb, kind, d.Allow, allow, d.Reason)
				}
				if d.Reason == "" {
					t.Errorf("%v, %s %s: no reason", role, verb, kind)
				}
			}
		}
	}
}

func TestDecide_ReasonNamesNoSecret(t *testing.T) {
	d := Decide(Principal{Name: "mallory", Role: RoleReader}, Request{Verb: VerbDelete, Kind: KindConfig, Tenant: "acme", Name: "salaries"})
	if d.Allow || strings.Contains(d.Reason, "salaries") || d.Reason != "role reader may not delete config" {
		t.Errorf("%+v", d)
	}
}

func TestPrincipalFrom(t *testing.T) {
	if p := PrincipalFrom(context.Background()); p.Role != RoleAnonymous || p.Name != "" {
		t.Errorf("a context without a principal is %+v", p)
	}
	want := Principal{Name: "ada", Role: RoleOperator}
	ctx := WithPrincipal(context.Background(), want)
	if got := PrincipalFrom(ctx); got != want {
		t.Errorf("got %+v, want %+v", got, want)
	}
	ctx = WithPrincipal(ctx, Principal{Name: "x"})
	if got := PrincipalFrom(ctx); got.Role != RoleAnonymous {
		t.Errorf("the inner principal does not win: %+v", got)
	}
}

func TestRole_String(t *testing.T) {
	for role, want := range map[Role]string{
		RoleAnonymous: "anonymous", RoleProxy: "proxy", RoleReader: "reader", RoleOperator: "operator", RoleDev: "dev", 9: "role-9",
	} {
		if got := role.String(); got != want {
			t.Errorf("role %d is %q, want %q", uint8(role), got, want)
		}
		if got, ok := RoleNamed(want); ok != (role < 9) || ok && got != role {
			t.Errorf("the role %q is %v, %v", want, got, ok)
		}
	}
}
