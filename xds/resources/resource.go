package resources

import (
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"strconv"

	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"
)

// Type is a type of resource, in the order in which clients need them.
type Type uint8

// The types.
const (
	Cluster Type = iota
	Endpoint
	Listener
	Route

	Types = 4 // how many there are
)

var typeURLs = [Types]string{
	"type.googleapis.com/envoy.config.cluster.v3.Cluster",
	"type.googleapis.com/envoy.config.endpoint.v3.ClusterLoadAssignment",
	"type.googleapis.com/envoy.config.listener.v3.Listener",
	"type.googleapis.com/envoy.config.route.v3.RouteConfiguration",
}

// URL is the type URL on the wire.
func (t Type) URL() string { return typeURLs[t] }

// String is the short name, for people.
func (t Type) String() string { return [Types]string{"cluster", "endpoint", "listener", "route"}[t] }

// TypeOf finds a type by its URL.
func TypeOf(url string) (Type, bool) {
	for t, u := range typeURLs {
		if u == url {
			return Type(t), true
		}
	}
	return 0, false
}

// Resource is an encoded resource. It is immutable: its bytes are shared by every response that carries it.
type Resource struct {
	Name string
	// Version is a hash of the content.
	Version uint64
	// Delta is the field `resources` of a DeltaDiscoveryResponse, tag and length included: a Resource with name,
	// version and the message. SotW is the field `resources` of a DiscoveryResponse, the message alone; it is the
	// tail of Delta.
	Delta []byte
	SotW  []byte
}

// VersionText is how a version is spelled on the wire.
func VersionText(version uint64) string { return fmt.Sprintf("%016x", version) }

// ParseVersion undoes VersionText.
func ParseVersion(text string) (uint64, bool) {
	v, err := strconv.ParseUint(text, 16, 64)
	return v, err == nil && len(text) == 16
}

// Both responses carry resources in field 2, and a Resource carries its message in field 2 as well: that is why
// one encoding serves both.
const (
	fieldResources       = 2
	fieldResourceVersion = 1
	fieldResourceMessage = 2
	fieldResourceName    = 3
	fieldAnyType         = 1
	fieldAnyValue        = 2
)

type validated interface{ ValidateAll() error }

// encode validates a message and encodes it.
func encode(t Type, name string, m proto.Message) (*Resource, error) {
	if v, ok := m.(validated); ok {
		if err := v.ValidateAll(); err != nil {
			return nil, fmt.Errorf("%s %q: %w", t, name, err)
		}
	}
	value, err := proto.MarshalOptions{Deterministic: true}.Marshal(m)
	if err != nil {
		return nil, fmt.Errorf("%s %q: %w", t, name, err)
	}
	sum := sha256.Sum256(value)
	version := binary.BigEndian.Uint64(sum[:])
	return wrap(t, name, version, value), nil
}

// wrap puts an encoded message into the fields of the responses.
func wrap(t Type, name string, version uint64, value []byte) *Resource {
	url, text := t.URL(), VersionText(version)
	anySize := protowire.SizeTag(fieldAnyType) + protowire.SizeBytes(len(url)) +
		protowire.SizeTag(fieldAnyValue) + protowire.SizeBytes(len(value))
	size := protowire.SizeTag(fieldResourceName) + protowire.SizeBytes(len(name)) +
		protowire.SizeTag(fieldResourceVersion) + protowire.SizeBytes(len(text)) +
		protowire.SizeTag(fieldResourceMessage) + protowire.SizeBytes(anySize)

	b := make([]byte, 0, protowire.SizeTag(fieldResources)+protowire.SizeBytes(size))
	b = protowire.AppendTag(b, fieldResources, protowire.BytesType)
	b = protowire.AppendVarint(b, uint64(size))
	b = appendString(b, fieldResourceName, name)
	b = appendString(b, fieldResourceVersion, text)
	tail := len(b)
	b = protowire.AppendTag(b, fieldResourceMessage, protowire.BytesType)
	b = protowire.AppendVarint(b, uint64(anySize))
	b = appendString(b, fieldAnyType, url)
	b = protowire.AppendTag(b, fieldAnyValue, protowire.BytesType)
	b = protowire.AppendBytes(b, value)
	return &Resource{Name: name, Version: version, Delta: b, SotW: b[tail:len(b):len(b)]}
}

func appendString(b []byte, field protowire.Number, s string) []byte {
	b = protowire.AppendTag(b, field, protowire.BytesType)
	return protowire.AppendString(b, s)
}
