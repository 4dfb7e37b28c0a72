package server

import (
	"errors"

	"buf.build/go/protovalidate"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"

	pb "supercluster/api/gen/supercluster/v1"
	"supercluster/internal/fault"
)

// newValidator compiles the rules of every message of the API once. At run time nothing is compiled: a message of
// another API (xDS, health) has no rules here and passes.
func newValidator() (protovalidate.Validator, error) {
	var all []protoreflect.MessageDescriptor
	for _, file := range []protoreflect.FileDescriptor{
		pb.File_supercluster_v1_registry_proto, pb.File_supercluster_v1_config_proto, pb.File_supercluster_v1_operate_proto,
		pb.File_supercluster_v1_federation_proto,
	} {
		messages := file.Messages()
		for i := range messages.Len() {
			all = append(all, messages.Get(i))
		}
	}
	return protovalidate.New(protovalidate.WithMessageDescriptors(all...), protovalidate.WithDisableLazy(), protovalidate.WithFailFast())
}

// validate checks a request against the rules in its proto file and names the first field that breaks one.
func (s *Server) validate(msg proto.Message) error {
	if sound(msg) {
		return nil
	}
	if msg.ProtoReflect().Descriptor().ParentFile().Package() != "supercluster.v1" {
		return nil
	}
	err := s.validator.Validate(msg)
	if err == nil {
		return nil
	}
	var broken *protovalidate.ValidationError
	if !errors.As(err, &broken) || len(broken.Violations) == 0 {
		return fault.Wrap(fault.Internal, err, "the rules of %s cannot be evaluated", msg.ProtoReflect().Descriptor().Name())
	}
	v := broken.Violations[0]
	field, text := protovalidate.FieldPathString(v.Proto.GetField()), v.Proto.GetMessage()
	if text == "" {
		text = "breaks the rule " + v.Proto.GetRuleId()
	}
	switch v.Proto.GetRuleId() {
	case "string.max_len", "string.max_bytes", "bytes.max_len", "repeated.max_items", "map.max_pairs":
		return &fault.Error{Kind: fault.TooLarge, Field: field, Message: text}
	}
	return fault.Field(field, "%s", text)
}
