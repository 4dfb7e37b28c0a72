package xds

import (
	"hash/maphash"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	discoveryv3 "github.com/envoyproxy/go-control-plane/envoy/service/discovery/v3"
	statuspb "google.golang.org/genproto/googleapis/rpc/status"
	"google.golang.org/grpc/mem"
	"google.golang.org/protobuf/encoding/protowire"
	pbproto "google.golang.org/protobuf/proto"
)

// sotwRequest is a request of the state-of-the-world protocol. Every acknowledgement repeats every name; hashing
// them where they lie costs a fraction of building a thousand strings, and nearly always they are those of the
// request before.
type sotwRequest struct {
	typeURL string
	nonce   string
	node    *corev3.Node
	nack    *statuspb.Status
	names   []string
	// digest is a hash of the names as they stand in the request, and count how many there are. A reader that
	// finds the digest it knows leaves names empty.
	digest uint64
	count  int

	limit    int
	seed     maphash.Seed
	known    func(typeURL string) (digest uint64, ok bool)
	tooLarge bool
}

// The fields of a DiscoveryRequest.
const (
	sotwNode     = 2
	sotwNames    = 3
	sotwTypeURL  = 4
	sotwNonce    = 5
	sotwError    = 6
	sotwLocators = 7
)

func (r *sotwRequest) read(data mem.BufferSlice) error {
	if r.tooLarge = data.Len() > r.limit; r.tooLarge {
		return nil
	}
	buf := data.MaterializeToBuffer(mem.DefaultBufferPool())
	defer buf.Free()
	return r.decode(buf.ReadOnlyData())
}

// decode reads everything but the names, then the names if they are not known.
func (r *sotwRequest) decode(b []byte) error {
	var h maphash.Hash
	h.SetSeed(r.seed)
	err := fields(b, func(field protowire.Number, value []byte) error {
		switch field {
		case sotwNode:
			if r.node == nil {
				r.node = &corev3.Node{}
			}
			return pbproto.UnmarshalOptions{Merge: true}.Unmarshal(value, r.node)
		case sotwNames:
			r.count++
			h.Write(value)
			h.WriteByte(0)
		case sotwTypeURL:
			r.typeURL = string(value)
		case sotwNonce:
			r.nonce = string(value)
		case sotwError:
			if r.nack == nil {
				r.nack = &statuspb.Status{}
			}
			return pbproto.UnmarshalOptions{Merge: true}.Unmarshal(value, r.nack)
		case sotwLocators:
			return r.locator(value, &h)
		}
		return nil
	})
	if err != nil {
		return err
	}
	r.digest = h.Sum64()
	if known, ok := r.known(r.typeURL); ok && known == r.digest {
		return nil
	}
	return r.decodeNames(b)
}

// locator takes a name that is given with parameters; we have none that they would select.
func (r *sotwRequest) locator(value []byte, h *maphash.Hash) error {
	var l discoveryv3.ResourceLocator
	if err := pbproto.Unmarshal(value, &l); err != nil {
		return err
	}
	r.count++
	h.WriteString(l.GetName())
	h.WriteByte(0)
	return nil
}

func (r *sotwRequest) decodeNames(b []byte) error {
	r.names = make([]string, 0, r.count)
	return fields(b, func(field protowire.Number, value []byte) error {
		switch field {
		case sotwNames:
			r.names = append(r.names, string(value))
		case sotwLocators:
			var l discoveryv3.ResourceLocator
			if err := pbproto.Unmarshal(value, &l); err != nil {
				return err
			}
			r.names = append(r.names, l.GetName())
		}
		return nil
	})
}

// fields calls visit with each field that holds bytes and skips the others.
func fields(b []byte, visit func(field protowire.Number, value []byte) error) error {
	for len(b) > 0 {
		field, kind, n := protowire.ConsumeTag(b)
		if n < 0 {
			return protowire.ParseError(n)
		}
		b = b[n:]
		if kind != protowire.BytesType {
			if field >= sotwNode && field <= sotwLocators {
				return errWireType(int(field))
			}
			if n = protowire.ConsumeFieldValue(field, kind, b); n < 0 {
				return protowire.ParseError(n)
			}
			b = b[n:]
			continue
		}
		value, n := protowire.ConsumeBytes(b)
		if n < 0 {
			return protowire.ParseError(n)
		}
		if err := visit(field, value); err != nil {
			return err
		}
		b = b[n:]
	}
	return nil
}
