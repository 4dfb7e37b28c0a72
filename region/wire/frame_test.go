package wire

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"testing"

	"supercluster/internal/fault"
)

func TestFrame_RoundTrip(t *testing.T) {
	for _, size := range []int{0, 1, 100, 64 << 10, 3 << 20} {
		payload := bytes.Repeat([]byte{'x'}, size)
		r := frameReader{r: bytes.NewReader(newFrame(frameBatch, payload)), limit: maxBatch}
		kind, got, err := r.next()
		if err != nil || kind != frameBatch || !bytes.Equal(got, payload) {
			t.Fatalf("%d bytes: type %d, %d bytes, %v", size, kind, len(got), err)
		}
		if _, _, err := r.next(); err != io.EOF {
			t.Fatalf("after the last frame: %v", err)
		}
	}
}

func TestFrame_Refuses(t *testing.T) {
	good := newFrame(frameRequest, []byte("payload"))
	change := func(f func(b []byte)) []byte {
		b := bytes.Clone(good)
		f(b)
		return b
	}
	tests := []struct {
		name  string
		bytes []byte
		want  fault.Kind
	}{
		{"a flipped bit in the payload", change(func(b []byte) { b[headerSize+2] ^= 1 }), fault.Corrupt},
		{"a flipped bit in the type", change(func(b []byte) { b[4] ^= 1 }), fault.Corrupt},
		{"a flipped bit in the checksum", change(func(b []byte) { b[9] ^= 1 }), fault.Corrupt},
		{"an unknown flag", change(func(b []byte) { b[6] = 1 }), fault.Unsupported},
		{"a length over the limit", change(func(b []byte) { binary.BigEndian.PutUint32(b, maxMessage+1) }), fault.TooLarge},
		{"an HTTP request", []byte("GET / HTTP/1.1\r\nHost: x\r\n\r\n"), fault.TooLarge},
	}
	for _, tt := range tests {
		r := frameReader{r: bytes.NewReader(tt.bytes), limit: maxMessage}
		if _, _, err := r.next(); fault.KindOf(err) != tt.want {
			t.Errorf("%s: %v, want %v", tt.name, err, tt.want)
		}
	}
}

func TestFrame_TruncatedIsUnexpectedEOF(t *testing.T) {
	good := newFrame(frameRequest, []byte("payload"))
	for n := 1; n < len(good); n++ {
		r := frameReader{r: bytes.NewReader(good[:n]), limit: maxMessage}
		if _, _, err := r.next(); !errors.Is(err, io.ErrUnexpectedEOF) {
			t.Fatalf("%d of %d bytes: %v", n, len(good), err)
		}
	}
}

// A header may promise much and deliver nothing: memory must follow what arrives.
func TestFrame_MemoryFollowsArrival(t *testing.T) {
	b := newFrame(frameBatch, []byte("short"))
	binary.BigEndian.PutUint32(b, maxBatch)
	r := frameReader{r: bytes.NewReader(b), limit: maxBatch}
	if _, _, err := r.next(); !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Fatal(err)
	}
	if cap(r.buffer) > 128<<10 {
		t.Errorf("%d bytes were taken for 5 that arrived", cap(r.buffer))
	}
}

func FuzzFrames(f *testing.F) {
	h := hello{kind: KindNode, region: "dc1", from: "n1", to: "n2"}
	f.Add(newFrame(frameHello, h.encode()))
	w := welcome{region: "dc1", refusal: "no", kind: fault.Denied}
	f.Add(newFrame(frameWelcome, w.encode()))
	f.Add((&request{id: 7, method: 2, payload: []byte("p")}).encode())
	f.Add((&response{id: 7, err: fault.New(fault.Busy, "later")}).encode())
	f.Fuzz(func(t *testing.T, b []byte) {
		r := frameReader{r: bytes.NewReader(b), limit: maxHello}
		_, payload, err := r.next()
		if err != nil {
			payload = b // the decoders must stand any bytes
		}
		if h, err := decodeHello(payload); err == nil {
			again, err := decodeHello(h.encode())
			if err != nil || again != h {
				t.Fatalf("hello %+v came back as %+v, %v", h, again, err)
			}
		}
		if w, err := decodeWelcome(payload); err == nil {
			if again, err := decodeWelcome(w.encode()); err != nil || again != w {
				t.Fatalf("welcome %+v came back as %+v, %v", w, again, err)
			}
		}
		if q, err := decodeRequest(payload); err == nil {
			again, err := decodeRequest(q.encode()[headerSize:])
			if err != nil || again.id != q.id || again.timeout != q.timeout || !bytes.Equal(again.payload, q.payload) {
				t.Fatalf("request %+v came back as %+v, %v", q, again, err)
			}
		}
		if a, err := decodeResponse(payload); err == nil {
			if _, err := decodeResponse(a.encode()[headerSize:]); err != nil {
				t.Fatalf("response %+v: %v", a, err)
			}
		}
	})
}
