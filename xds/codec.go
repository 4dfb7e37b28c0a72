package xds

import (
	"fmt"

	discoveryv3 "github.com/envoyproxy/go-control-plane/envoy/service/discovery/v3"
	"google.golang.org/grpc/encoding"
	"google.golang.org/grpc/encoding/proto"
	"google.golang.org/grpc/mem"
	pbproto "google.golang.org/protobuf/proto"
)

// codec is gRPC's protobuf codec, but for the three messages of this package: responses are sent as the bytes that
// they are made of, and requests are read without building what is not needed. It is forced for the whole gRPC
// server (gRPC has no codec per service), which changes nothing for any other message.
type codec struct{ proto encoding.CodecV2 }

func newCodec() codec { return codec{proto: encoding.GetCodecV2(proto.Name)} }

// Codec is the codec of ServerOptions, for a server that puts one of its own around it.
func Codec() encoding.CodecV2 { return newCodec() }

// Name is that of the protobuf codec: the bytes on the wire are protobuf.
func (c codec) Name() string { return proto.Name }

// Marshal gives the bytes of a message. Those of a response are shared and never freed into a pool.
func (c codec) Marshal(v any) (mem.BufferSlice, error) {
	if r, ok := v.(*response); ok {
		return r.data, nil
	}
	return c.proto.Marshal(v)
}

// Unmarshal reads a message.
func (c codec) Unmarshal(data mem.BufferSlice, v any) error {
	switch r := v.(type) {
	case *sotwRequest:
		return r.read(data)
	case *deltaRequest:
		return r.read(data)
	default:
		return c.proto.Unmarshal(data, v)
	}
}

// response is a response as it is sent: a header of its own, then resources that all streams share.
type response struct {
	data  mem.BufferSlice
	bytes int
}

// deltaRequest is a request of the delta protocol. Limit is set before it is read; a request above it is not
// decoded, so that the stream can be refused with a text instead of a codec's error.
type deltaRequest struct {
	discoveryv3.DeltaDiscoveryRequest
	limit    int
	tooLarge bool
}

func (r *deltaRequest) read(data mem.BufferSlice) error {
	if r.tooLarge = data.Len() > r.limit; r.tooLarge {
		return nil
	}
	buf := data.MaterializeToBuffer(mem.DefaultBufferPool())
	defer buf.Free()
	return pbproto.Unmarshal(buf.ReadOnlyData(), &r.DeltaDiscoveryRequest)
}

func errWireType(field int) error {
	return fmt.Errorf("discovery request: field %d has a wrong wire type", field)
}
