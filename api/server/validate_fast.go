package server

import (
	"unicode/utf8"

	"google.golang.org/protobuf/proto"

	pb "supercluster/api/gen/supercluster/v1"
)

// The two messages that are most of a busy server's work are judged by hand. sound says yes only where the rules
// of the proto file do; anything else goes to the validator, which alone words a refusal. A test compares the two
// over random messages, so that a rule added to the proto file is not missed here.

// Limits of the proto files. Those of strings count characters.
const (
	maxLabel       = 63
	maxEntryName   = 512
	maxEntryValue  = 1 << 20
	maxIdempotency = 64
	maxReason      = 1024
	maxSession     = 1024
)

// sound reports whether a message surely keeps the rules.
func sound(msg proto.Message) bool {
	switch m := msg.(type) {
	case *pb.GetConfigRequest:
		return atMost(m.Tenant, maxLabel) && atMost(m.Namespace, maxLabel) && m.Name != "" && atMost(m.Name, maxEntryName) &&
			(m.Read == nil || defined(int32(m.Read.Consistency), pb.Consistency_name) && atMost(m.Read.Session, maxSession))
	case *pb.PutConfigRequest:
		return soundConfig(m.Config) && soundOptions(m.Options)
	default:
		return false
	}
}

func soundConfig(c *pb.Config) bool {
	return c != nil && atMost(c.Tenant, maxLabel) && atMost(c.Namespace, maxLabel) && c.Name != "" && atMost(c.Name, maxEntryName) &&
		len(c.Value) <= maxEntryValue && defined(int32(c.Format), pb.Format_name)
}

func soundOptions(o *pb.WriteOptions) bool {
	return o == nil || len(o.RequestId) <= maxIdempotency && len(o.Message) <= maxReason
}

func defined(value int32, names map[int32]string) bool {
	_, ok := names[value]
	return ok
}

// atMost reports whether a string has no more than n characters.
func atMost(s string, n int) bool {
	return len(s) <= n || utf8.RuneCountInString(s) <= n
}
