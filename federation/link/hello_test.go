package link

import (
	"bytes"
	"testing"

	"supercluster/internal/fault"
)

func testHello(lowest, highest uint16) hello {
	return hello{versions: versionRange{lowest, highest}, level: 7, maxFrame: 1 << 20, maxMessage: 8 << 20, region: west}
}

func TestHello_Agree(t *testing.T) {
	small := testHello(1, 1)
	small.maxFrame = 1
	none := hello{region: west}
	lowLevel := testHello(1, 1)
	lowLevel.level = 3
	for _, tt := range []struct {
		name      string
		own, peer hello
		region    [16]byte
		version   uint16
		kind      fault.Kind
	}{
		{"same", testHello(1, 1), testHello(1, 1), west, 1, 0},
		{"newer peer", testHello(1, 2), testHello(1, 9), west, 2, 0},
		{"older peer", testHello(2, 4), testHello(1, 3), west, 3, 0},
		{"lower level", testHello(1, 1), lowLevel, west, 1, 0},
		{"peer too new", testHello(1, 2), testHello(3, 4), west, 0, fault.Unsupported},
		{"peer too old", testHello(3, 4), testHello(1, 2), west, 0, fault.Unsupported},
		{"no range", testHello(1, 2), testHello(4, 2), west, 0, fault.Invalid},
		{"no fields", testHello(1, 2), none, west, 0, fault.Invalid},
		{"another region", testHello(1, 1), testHello(1, 1), east, 0, fault.Denied},
		{"frames too small", testHello(1, 1), small, west, 0, fault.Invalid},
	} {
		got, err := agree(tt.own, tt.peer, tt.region)
		switch {
		case tt.version == 0 && !fault.Is(err, tt.kind):
			t.Errorf("%s: %v, not %s", tt.name, err, tt.kind)
		case tt.version != 0 && (err != nil || got.version != tt.version || got.level != min(tt.own.level, tt.peer.level)):
			t.Errorf("%s: %+v, %v", tt.name, got, err)
		}
	}
}

func TestHello_UnknownFields(t *testing.T) {
	want := testHello(1, 5)
	want.extra = true
	b := want.encode()
	b = append(b, 0x77, 0x77, 0, 3, 'n', 'e', 'w')
	b[5] += 7
	got, err := readHello(bytes.NewReader(b))
	if err != nil || got != want {
		t.Errorf("%+v, %v", got, err)
	}
	for i := range b {
		if _, err := readHello(bytes.NewReader(b[:i])); err == nil {
			t.Errorf("%d of %d bytes were taken", i, len(b))
		}
	}
	if _, err := readHello(bytes.NewReader([]byte("GET / HTTP/1.1\r\n"))); !fault.Is(err, fault.Invalid) {
		t.Errorf("HTTP: %v", err)
	}
	if _, err := decodeHello([]byte{0, 1, 0, 1, 9}); !fault.Is(err, fault.Corrupt) {
		t.Errorf("a version of one byte: %v", err)
	}
}

func FuzzHello(f *testing.F) {
	h := testHello(1, 2)
	f.Add(h.encode())
	f.Fuzz(func(_ *testing.T, b []byte) { _, _ = readHello(bytes.NewReader(b)) })
}
