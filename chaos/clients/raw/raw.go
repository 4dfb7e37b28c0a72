// Package raw is a gRPC codec for messages that are plain bytes, so that test clients and backends in any language
// need no generated code. Values are *[]byte.
package raw

import "fmt"

// Codec passes bytes through.
type Codec struct{}

// Name is the content subtype. It is that of protobuf, since every client sends it.
func (Codec) Name() string { return "proto" }

// Marshal takes a *[]byte.
func (Codec) Marshal(v any) ([]byte, error) {
	b, ok := v.(*[]byte)
	if !ok {
		return nil, fmt.Errorf("raw codec: %T is not *[]byte", v)
	}
	return *b, nil
}

// Unmarshal fills a *[]byte.
func (Codec) Unmarshal(data []byte, v any) error {
	b, ok := v.(*[]byte)
	if !ok {
		return fmt.Errorf("raw codec: %T is not *[]byte", v)
	}
	*b = append((*b)[:0], data...)
	return nil
}
