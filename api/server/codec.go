package server

import (
	"google.golang.org/grpc/encoding"
	grpcproto "google.golang.org/grpc/encoding/proto"
	"google.golang.org/grpc/mem"
)

// envelope takes a message off the wire. gRPC answers bytes that do not decode with a status of its own before any
// handler can say which field was wrong; the envelope takes the bytes without complaint and keeps what the decoder
// said, so that the chain refuses them like any other bad request. It also knows their size.
type envelope struct {
	msg  any
	size int
	err  error
}

// codec is the codec of the gRPC listener: another one, with envelopes.
type codec struct{ encoding.CodecV2 }

func newCodec(inner encoding.CodecV2) codec {
	if inner == nil {
		inner = encoding.GetCodecV2(grpcproto.Name)
	}
	return codec{inner}
}

func (c codec) Unmarshal(data mem.BufferSlice, v any) error {
	e, ok := v.(*envelope)
	if !ok {
		return c.CodecV2.Unmarshal(data, v)
	}
	e.size = data.Len()
	e.err = c.CodecV2.Unmarshal(data, e.msg)
	return nil
}
