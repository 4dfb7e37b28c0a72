package xds

import (
	"bytes"
	"hash/maphash"
	"slices"
	"testing"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	discoveryv3 "github.com/envoyproxy/go-control-plane/envoy/service/discovery/v3"
	statuspb "google.golang.org/genproto/googleapis/rpc/status"
	"google.golang.org/grpc/mem"
	"google.golang.org/protobuf/proto"
	"pgregory.net/rapid"
)

var fuzzSeed = maphash.MakeSeed()

func decode(b []byte, known func(string) (uint64, bool)) (*sotwRequest, error) {
	r := &sotwRequest{limit: 1 << 20, seed: fuzzSeed, known: known}
	return r, r.read(mem.BufferSlice{mem.SliceBuffer(b)})
}

func unknown(string) (uint64, bool) { return 0, false }

// The decoder reads what the protobuf library reads, and refuses what it refuses.
func checkDecoder(t failer, b []byte) {
	t.Helper()
	var want discoveryv3.DiscoveryRequest
	wantErr := proto.Unmarshal(b, &want)
	got, err := decode(b, unknown)
	if err != nil {
		return // it may refuse more, such as a known field of another wire type
	}
	if wantErr != nil {
		// Ours does not look into strings and unknown groups; the names are checked where they are used.
		return
	}
	names := slices.Clone(want.GetResourceNames())
	for _, l := range want.GetResourceLocators() {
		names = append(names, l.GetName())
	}
	same := got.typeURL == want.GetTypeUrl() && got.nonce == want.GetResponseNonce() && got.count == len(names) &&
		proto.Equal(got.node, want.GetNode()) && proto.Equal(got.nack, want.GetErrorDetail())
	slices.Sort(names)
	slices.Sort(got.names)
	if !same || !slices.Equal(got.names, names) {
		t.Fatalf("decoded %+v, the library %v", got, &want)
	}
	again, err := decode(b, func(string) (uint64, bool) { return got.digest, true })
	if err != nil || again.names != nil || again.digest != got.digest {
		t.Fatalf("names that are known: %v, digest %x and %x, %v", again.names, again.digest, got.digest, err)
	}
}

func FuzzSotWRequest(f *testing.F) {
	for _, m := range []*discoveryv3.DiscoveryRequest{
		{},
		{TypeUrl: eds.URL(), ResourceNames: []string{"a", "b"}, ResponseNonce: "7", VersionInfo: "1"},
		{Node: &corev3.Node{Id: "n"}, ErrorDetail: &statuspb.Status{Message: "no"}},
		{ResourceLocators: []*discoveryv3.ResourceLocator{{Name: "x", DynamicParameters: map[string]string{"a": "b"}}}},
	} {
		b, err := proto.Marshal(m)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b)
	}
	f.Add([]byte{0x18, 0x01})
	f.Add([]byte{0x1a, 0xff})
	f.Fuzz(func(t *testing.T, b []byte) { checkDecoder(t, b) })
}

func TestSotWRequest_DigestTellsNamesApart(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		names := rapid.SliceOfN(rapid.StringMatching("[a-c]{0,3}"), 0, 4)
		a, b := names.Draw(t, "a"), names.Draw(t, "b")
		digest := func(names []string) uint64 {
			bytes, err := proto.Marshal(&discoveryv3.DiscoveryRequest{TypeUrl: cds.URL(), ResourceNames: names})
			if err != nil {
				t.Fatalf("marshal: %v", err)
			}
			r, err := decode(bytes, unknown)
			if err != nil {
				t.Fatalf("decode: %v", err)
			}
			return r.digest
		}
		if (digest(a) == digest(b)) != slices.Equal(a, b) {
			t.Fatalf("%q and %q: digests %x and %x", a, b, digest(a), digest(b))
		}
	})
}

func TestCodec_LeavesOtherMessagesToProtobuf(t *testing.T) {
	c := newCodec()
	in := &corev3.Node{Id: "n"}
	data, err := c.Marshal(in)
	if err != nil || c.Name() != "proto" {
		t.Fatal(c.Name(), err)
	}
	var out corev3.Node
	if err := c.Unmarshal(data, &out); err != nil || !proto.Equal(in, &out) {
		t.Errorf("%v, %v", &out, err)
	}
	shared := []byte("shared")
	data, err = c.Marshal(&response{data: mem.BufferSlice{mem.SliceBuffer(shared)}})
	if err != nil || !bytes.Equal(data.Materialize(), shared) {
		t.Errorf("%q, %v", data, err)
	}
}

func TestCodec_RequestsAboveTheLimitAreNotDecoded(t *testing.T) {
	c := newCodec()
	b, err := proto.Marshal(&discoveryv3.DeltaDiscoveryRequest{TypeUrl: "0123456789"})
	if err != nil {
		t.Fatal(err)
	}
	delta, sotw := &deltaRequest{limit: 5}, &sotwRequest{limit: 5}
	for _, v := range []any{delta, sotw} {
		if err := c.Unmarshal(mem.BufferSlice{mem.SliceBuffer(b)}, v); err != nil {
			t.Fatal(err)
		}
	}
	if !delta.tooLarge || !sotw.tooLarge || delta.GetTypeUrl() != "" {
		t.Errorf("taken: %v, %v", delta, sotw)
	}
}

// A set of marks keeps the order of first marks and never grows beyond twice what is in it.
func TestMarks(t *testing.T) {
	entries := make([]*entry, 20)
	for i := range entries {
		entries[i] = &entry{}
	}
	rapid.Check(t, func(t *rapid.T) {
		var m marks
		var want []*entry
		for _, i := range rapid.SliceOfN(rapid.IntRange(0, len(entries)-1), 0, 300).Draw(t, "marks") {
			m.add(entries[i])
			if !slices.Contains(want, entries[i]) {
				want = append(want, entries[i])
			}
			if len(m.list) > max(smallMarks, 2*len(entries)) {
				t.Fatalf("%d marks of %d entries", len(m.list), len(entries))
			}
		}
		if got := distinct(slices.Clone(m.list)); !slices.Equal(got, want) {
			t.Fatalf("%d marks, want %d in their order", len(got), len(want))
		}
	})
}
