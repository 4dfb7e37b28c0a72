package server

import (
	"context"
	"strings"
	"testing"

	pb "supercluster/api/gen/supercluster/v1"
	"supercluster/internal/fault"
	"supercluster/registry/access"
)

// TestBackup_OnlyOperators: a backup is everything, so that reading everything does not suffice.
func TestBackup_OnlyOperators(t *testing.T) {
	for role, allowed := range map[access.Role]bool{
		access.RoleOperator: true, access.RoleDev: true, access.RoleReader: false, access.RoleProxy: false, access.RoleAnonymous: false,
	} {
		r, ok := rowOf(pb.ClusterService_Backup_FullMethodName)
		if !ok || r.class != classOpen {
			t.Fatal("the method has no row, or another class")
		}
		if d := access.Decide(access.Principal{Name: "x", Role: role}, access.Request{Verb: r.verb, Kind: r.kind}); d.Allow != allowed {
			t.Errorf("%s: %+v", role, d)
		}
	}
}

func TestStatus_HashOnlyWhenAsked(t *testing.T) {
	s := &Server{cfg: Config{Region: newFakeRegion(t), Limits: Limits{}.withDefaults()}, stopping: make(chan struct{})}
	for role, kind := range map[access.Role]fault.Kind{access.RoleOperator: 0, access.RoleReader: fault.Denied} {
		ctx := context.WithValue(t.Context(), callKey{}, &call{principal: access.Principal{Name: "x", Role: role}})
		resp := &pb.GetStatusResponse{}
		err := s.hashState(ctx, resp)
		if role == access.RoleReader {
			if !fault.Is(err, kind) || resp.StateHash != "" {
				t.Errorf("a reader: %q, %v", resp.StateHash, err)
			}
			continue
		}
		if err != nil || !strings.HasPrefix(resp.StateHash, "ab00") || resp.AppliedIndex != 7 || resp.Revision != 5 {
			t.Errorf("%v, %v", resp, err)
		}
	}
}
