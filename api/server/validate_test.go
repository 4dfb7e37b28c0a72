package server

import (
	"strings"
	"testing"

	"google.golang.org/protobuf/proto"
	"pgregory.net/rapid"

	pb "supercluster/api/gen/supercluster/v1"
	"supercluster/internal/fault"
)

// genText draws texts around a limit, in one-byte and many-byte characters.
func genText(limit int) *rapid.Generator[string] {
	return rapid.Custom(func(t *rapid.T) string {
		n := rapid.SampledFrom([]int{0, 1, 2, limit - 1, limit, limit + 1, limit/4 + 1}).Draw(t, "length")
		return strings.Repeat(rapid.SampledFrom([]string{"a", "ä", "世", "𝛼"}).Draw(t, "character"), n)
	})
}

func genMessage() *rapid.Generator[proto.Message] {
	return rapid.Custom(func(t *rapid.T) proto.Message {
		if rapid.Bool().Draw(t, "get") {
			m := &pb.GetConfigRequest{
				Tenant: genText(63).Draw(t, "tenant"), Namespace: genText(63).Draw(t, "namespace"), Name: genText(512).Draw(t, "name"),
				Revision: rapid.Uint64().Draw(t, "revision"),
			}
			if rapid.Bool().Draw(t, "read") {
				m.Read = &pb.ReadOptions{
					Consistency: pb.Consistency(rapid.Int32Range(-1, 6).Draw(t, "consistency")), Session: genText(1024).Draw(t, "session"),
				}
			}
			return m
		}
		m := &pb.PutConfigRequest{ExpectRevision: rapid.Uint64().Draw(t, "expect"), CreateOnly: rapid.Bool().Draw(t, "create")}
		if rapid.IntRange(0, 9).Draw(t, "config") > 0 {
			m.Config = &pb.Config{
				Tenant: genText(63).Draw(t, "tenant"), Namespace: genText(63).Draw(t, "namespace"), Name: genText(512).Draw(t, "name"),
				Value:  make([]byte, rapid.SampledFrom([]int{0, 10, 1 << 20, 1<<20 + 1}).Draw(t, "value")),
				Format: pb.Format(rapid.Int32Range(-1, 6).Draw(t, "format")),
				Author: genText(63).Draw(t, "author"), Message: genText(1024).Draw(t, "old message"),
			}
		}
		if rapid.Bool().Draw(t, "options") {
			m.Options = &pb.WriteOptions{RequestId: genText(64).Draw(t, "request id"), Message: genText(1024).Draw(t, "message")}
		}
		return m
	})
}

// The checks by hand say exactly what the rules of the proto file say.
func TestSound_EqualsTheRules(t *testing.T) {
	v, err := newValidator()
	if err != nil {
		t.Fatal(err)
	}
	rapid.Check(t, func(t *rapid.T) {
		msg := genMessage().Draw(t, "message")
		if rules, byHand := v.Validate(msg) == nil, sound(msg); rules != byHand {
			t.Fatalf("the rules say %v, the checks by hand %v: %v", rules, byHand, msg)
		}
	})
}

// A field that is added to one of the two messages must be looked at: it may carry a rule.
func TestSound_KnowsEveryField(t *testing.T) {
	for msg, want := range map[proto.Message]int{
		&pb.GetConfigRequest{}: 5, &pb.PutConfigRequest{}: 4, &pb.Config{}: 11, &pb.WriteOptions{}: 3, &pb.ReadOptions{}: 4,
	} {
		if got := msg.ProtoReflect().Descriptor().Fields().Len(); got != want {
			t.Errorf("%s has %d fields, the checks by hand were written for %d", msg.ProtoReflect().Descriptor().Name(), got, want)
		}
	}
}

// Every message of the API, empty, is judged without an error of the rules themselves.
func TestValidate_RulesEvaluate(t *testing.T) {
	h := newHarness(t)
	for full, u := range h.unaries {
		if !strings.HasPrefix(full, "/supercluster.") {
			continue
		}
		_, err := h.serveUnary(t.Context(), u, func(e *envelope) error {
			if kind := fault.KindOf(h.validate(e.msg.(proto.Message))); kind == fault.Internal && h.validate(e.msg.(proto.Message)) != nil {
				t.Errorf("%s: the rules of %T cannot be evaluated", full, e.msg)
			}
			return fault.New(fault.Invalid, "enough")
		}, nil)
		if !fault.Is(fromGRPC(err), fault.Invalid) {
			t.Errorf("%s: %v", full, err)
		}
	}
}
