package link

import (
	"bytes"
	"context"
	"errors"
	"io"
	"math/rand/v2"
	"testing"
	"time"

	"supercluster/internal/bubble"
	"supercluster/internal/fault"
)

func TestConn_Messages(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		_, a, b, end := pair(t, 100*time.Millisecond)
		defer end()
		if p := b.Peer(); p.Region != west || p.Server != "node-1" || p.Version != maxVersion {
			t.Errorf("accepted from %+v", p)
		}
		near, far := open(t, a, b, ClassConfig)
		large := make([]byte, 3<<20)
		for i := range large {
			large[i] = byte(rand.Uint32())
		}
		sent := []Message{
			{Type: 1},
			{Type: 2, Body: []byte("small")},
			{Type: 3, Body: bytes.Repeat([]byte("compressible "), 100_000)},
			{Type: 4, Body: large},
			{Type: 255, Body: make([]byte, 8<<20)},
		}
		go func() {
			for _, m := range sent {
				if err := near.Send(context.Background(), m); err != nil {
					t.Errorf("Send %d: %v", m.Type, err)
				}
			}
			near.Close()
		}()
		for _, want := range sent {
			got, err := far.Recv(within(t, time.Minute))
			if err != nil {
				t.Fatal(err)
			}
			if got.Type != want.Type || !bytes.Equal(got.Body, want.Body) {
				t.Errorf("message %d of %d bytes arrived as %d of %d", want.Type, len(want.Body), got.Type, len(got.Body))
			}
		}
		if _, err := far.Recv(within(t, time.Minute)); !errors.Is(err, io.EOF) {
			t.Errorf("after the end: %v", err)
		}
		if err := far.Send(context.Background(), Message{Body: make([]byte, 8<<20+1)}); !fault.Is(err, fault.TooLarge) {
			t.Errorf("over the limit: %v", err)
		}
	})
}
