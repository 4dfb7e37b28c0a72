package link

import (
	"bytes"
	"encoding/binary"
	"io"
	"runtime"
	"testing"

	"supercluster/internal/fault"
)

var testBounds = bounds{frame: 1 << 20, message: 8 << 20}

func testCodec(t testing.TB) *codec {
	t.Helper()
	c, err := newCodec(int(testBounds.message))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.close)
	return c
}

func decode(c *codec, b []byte) (Message, error) {
	f := frameReader{r: bytes.NewReader(b), limit: testBounds, unpack: c.unpack}
	return f.next()
}

func TestFrame_Refused(t *testing.T) {
	c := testCodec(t)
	packed, ok := c.pack(make([]byte, 4096))
	if !ok {
		t.Fatal("zeros do not compress")
	}
	frame := func(length, size uint32, flags uint8, body ...byte) []byte {
		return append(header{length: length, size: size, kind: 1, flags: flags}.append(nil), body...)
	}
	join := func(frames ...[]byte) []byte { return bytes.Join(frames, nil) }
	reserved := frame(0, 0, 0)
	reserved[11] = 1
	other := header{length: 1, size: 3, kind: 2}.append(nil)
	for _, tt := range []struct {
		name string
		in   []byte
		kind fault.Kind
	}{
		{"2 GiB frame", frame(2<<30, 2<<30, 0), fault.TooLarge},
		{"frame over the limit", frame(1<<20+1, 1<<20+1, 0), fault.TooLarge},
		{"message over the limit", frame(1, 8<<20+1, flagMore, 1), fault.TooLarge},
		{"unknown flag", frame(0, 0, 4), fault.Unsupported},
		{"reserved byte", reserved, fault.Unsupported},
		{"empty part", frame(0, 3, flagMore), fault.Corrupt},
		{"empty compressed", frame(0, 3, flagZstd), fault.Corrupt},
		{"longer than announced", frame(2, 1, 0, 1, 2), fault.Corrupt},
		{"shorter than announced", frame(1, 2, 0, 1), fault.Corrupt},
		{"parts longer than announced", join(frame(2, 3, flagMore, 1, 2), frame(2, 3, 0, 3, 4)), fault.Corrupt},
		{"part of another type", join(frame(2, 3, flagMore, 1, 2), append(other, 3)), fault.Corrupt},
		{"part of another size", join(frame(2, 3, flagMore, 1, 2), frame(1, 4, 0, 3)), fault.Corrupt},
		{"part of another encoding", join(frame(2, 3, flagMore, 1, 2), frame(1, 3, flagZstd, 3)), fault.Corrupt},
		{"no zstd", frame(3, 9, flagZstd, 1, 2, 3), fault.Corrupt},
		{"bomb: larger than announced", frame(uint32(len(packed)), 2048, flagZstd, packed...), fault.Corrupt},
		{"smaller than announced", frame(uint32(len(packed)), 8192, flagZstd, packed...), fault.Corrupt},
		{"two zstd frames", frame(uint32(2*len(packed)), 4096, flagZstd, join(packed, packed)...), fault.Corrupt},
	} {
		if _, err := decode(c, tt.in); !fault.Is(err, tt.kind) {
			t.Errorf("%s: %v, not %s", tt.name, err, tt.kind)
		}
	}
	if _, err := decode(c, nil); err != io.EOF {
		t.Errorf("nothing: %v", err)
	}
	for _, cut := range [][]byte{frame(2, 2, 0, 1), frame(0, 0, 0)[:5], frame(1, 2, flagMore, 1)} {
		if _, err := decode(c, cut); err != io.ErrUnexpectedEOF {
			t.Errorf("cut at %d: %v", len(cut), err)
		}
	}
}

func TestFrame_Parts(t *testing.T) {
	c := testCodec(t)
	for _, n := range []int{0, 1, 4095, 4096, 4097, 8192, 100_000} {
		body := bytes.Repeat([]byte{7}, n)
		b := appendMessage(nil, 9, body, n, false, 4096)
		if len(b) != n+parts(n, 4096)*headerSize {
			t.Errorf("%d bytes: %d on the wire, %d parts", n, len(b), parts(n, 4096))
		}
		m, err := decode(c, b)
		if err != nil || m.Type != 9 || !bytes.Equal(m.Body, body) {
			t.Errorf("%d bytes: %d bytes, %v", n, len(m.Body), err)
		}
	}
}

func TestFrame_AllocatesWhatArrived(t *testing.T) {
	c := testCodec(t)
	in := header{length: 1 << 20, size: 8 << 20, kind: 1, flags: flagMore}.append(nil)
	in = append(in, make([]byte, 1000)...)
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	for range 100 {
		_, _ = decode(c, in)
	}
	runtime.ReadMemStats(&after)
	if each := (after.TotalAlloc - before.TotalAlloc) / 100; each > 128<<10 {
		t.Errorf("1,000 bytes that promise 8 MiB cost %d bytes of memory", each)
	}
}

func TestCodec_Pack(t *testing.T) {
	c := testCodec(t)
	if _, ok := c.pack(make([]byte, packFrom-1)); ok {
		t.Error("a short message was compressed")
	}
	for _, n := range []int{packFrom, 1 << 20, 8 << 20} {
		body := bytes.Repeat([]byte("0123456789abcdef"), n/16)
		packed, ok := c.pack(body)
		if !ok || len(packed) > n/4 {
			t.Fatalf("%d bytes: packed %v to %d", n, ok, len(packed))
		}
		back, err := c.unpack(packed, n)
		if err != nil || !bytes.Equal(back, body) {
			t.Errorf("%d bytes: %v", n, err)
		}
	}
}

func FuzzFrame(f *testing.F) {
	c := testCodec(f)
	packed, _ := c.pack(make([]byte, 4096))
	f.Add(appendMessage(nil, 1, packed, 4096, true, 4096))
	f.Add(appendMessage(nil, 1, make([]byte, 10), 10, false, 4))
	f.Add(binary.BigEndian.AppendUint32(nil, 2<<30))
	f.Fuzz(func(t *testing.T, b []byte) {
		m, err := decode(c, b)
		if err == nil && len(m.Body) > int(testBounds.message) {
			t.Errorf("%d bytes came out of %d", len(m.Body), len(b))
		}
	})
}
