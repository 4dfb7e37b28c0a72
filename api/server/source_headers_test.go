package server

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"google.golang.org/genproto/googleapis/api/annotations"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"
	"google.golang.org/protobuf/types/dynamicpb"
	"google.golang.org/protobuf/types/known/durationpb"

	pb "supercluster/api/gen/supercluster/v1"
)

func headersOf(t *testing.T, msg proto.Message) http.Header {
	t.Helper()
	w := httptest.NewRecorder()
	if err := setReadHeaders(t.Context(), w, msg); err != nil {
		t.Fatal(err)
	}
	return w.Header()
}

// filler sets every field of a message, each source to a region of its own.
type filler struct{ sources int }

func (f *filler) fill(m protoreflect.Message) {
	if m.Descriptor().FullName() == (&pb.Source{}).ProtoReflect().Descriptor().FullName() {
		f.sources++
		m.Set(m.Descriptor().Fields().ByName("region"), protoreflect.ValueOfString(fmt.Sprint("dc", f.sources)))
		return
	}
	for i := range m.Descriptor().Fields().Len() {
		field := m.Descriptor().Fields().Get(i)
		switch {
		case field.Message() == nil || field.IsMap():
		case field.IsList():
			for range 2 {
				f.fill(m.Mutable(field).List().AppendMutable().Message())
			}
		default:
			f.fill(m.Mutable(field).Message())
		}
	}
}

// Every source in every answer of a read over HTTP counts for its headers.
func TestHeaders_CountEverySource(t *testing.T) {
	reads := 0
	file := pb.File_supercluster_v1_config_proto
	protoregistry.GlobalFiles.RangeFilesByPackage(file.Package(), func(file protoreflect.FileDescriptor) bool {
		for i := range file.Services().Len() {
			methods := file.Services().Get(i).Methods()
			for j := range methods.Len() {
				method := methods.Get(j)
				rule, _ := proto.GetExtension(method.Options(), annotations.E_Http).(*annotations.HttpRule)
				if rule.GetGet() == "" || method.IsStreamingServer() {
					continue
				}
				typed, err := protoregistry.GlobalTypes.FindMessageByName(method.Output().FullName())
				if err != nil {
					t.Fatal(err)
				}
				answer, f := typed.New(), &filler{}
				f.fill(answer)
				if f.sources == 0 {
					continue
				}
				reads++
				if got := headersOf(t, answer.Interface()).Get("X-Supercluster-Sources"); got != fmt.Sprint(f.sources) {
					t.Errorf("%s has %d sources; the headers count %q", method.FullName(), f.sources, got)
				}
			}
		}
		return true
	})
	if reads < 10 {
		t.Errorf("only %d reads have sources", reads)
	}
	if got := headersOf(t, dynamicpb.NewMessage((&pb.Source{}).ProtoReflect().Descriptor())); len(got) > 0 {
		t.Errorf("what is no read has %v", got)
	}
}

// The headers are about the oldest copy that is shown, and its region's newest position that is shown; the region that answers
// comes last.
func TestHeaders_OldestSource(t *testing.T) {
	source := func(region string, incarnation, revision uint64, age time.Duration) *pb.Instance {
		s := &pb.Source{Region: region, Incarnation: incarnation, Revision: revision}
		if age >= 0 {
			s.Age = durationpb.New(age)
		}
		return &pb.Instance{Source: s}
	}
	own, ownOfEarlierVersion := source("dc1", 4, 70, 20*time.Millisecond), source("dc1", 4, 70, -1)
	ownBehind := source("dc1", 4, 70, 20*time.Second)
	two, twoLater := source("dc2", 1, 90, 300*time.Millisecond), source("dc2", 2, 12, 300*time.Millisecond)
	three, unknown := source("dc3", 1, 5, 1500*time.Millisecond), source("dc4", 1, 6, -1)
	for name, tt := range map[string]struct {
		shown                                    []*pb.Instance
		count, region, revision, life, sourceAge string
	}{
		"nothing":          {nil, "", "", "", "", ""},
		"only ours":        {[]*pb.Instance{own}, "1", "dc1", "70", "4", "0.02s"},
		"earlier version":  {[]*pb.Instance{ownOfEarlierVersion}, "1", "dc1", "70", "4", "0.02s"},
		"ours and another": {[]*pb.Instance{ownBehind, two}, "2", "dc2", "90", "1", "0.3s"},
		"a later life":     {[]*pb.Instance{twoLater, two}, "1", "dc2", "12", "2", "0.3s"},
		"several":          {[]*pb.Instance{two, three, own, twoLater}, "3", "dc3", "5", "1", "1.5s"},
		"unknown age":      {[]*pb.Instance{three, unknown, own}, "3", "dc4", "6", "1", "unknown"},
	} {
		h := headersOf(t, &pb.ListInstancesResponse{
			Header:    &pb.ReadHeader{Region: "dc1", Node: "n1", Revision: 71, Incarnation: 4, Age: durationpb.New(20 * time.Millisecond)},
			Instances: tt.shown,
		})
		for header, want := range map[string]string{
			"Region": "dc1", "Node": "n1", "Revision": "71", "Incarnation": "4", "Age": "0.02s", "Sources": tt.count, "Source-Region": tt.region,
			"Source-Revision": tt.revision, "Source-Incarnation": tt.life, "Source-Age": tt.sourceAge,
		} {
			if got := h.Get("X-Supercluster-" + header); got != want {
				t.Errorf("%s: %s is %q, want %q", name, header, got, want)
			}
		}
	}
}

func TestHTTP_ReadHeaders(t *testing.T) {
	h := twoRegions(t)
	a := h.do(t, "GET", "/api/v1/lookup/web?region=dc2", "")
	for header, want := range map[string]string{
		"Region": "dc1", "Node": "n1", "Source-Region": "dc2", "Source-Revision": "640", "Source-Age": "7s", "Sources": "2",
		"Revision": a.json["header"].(map[string]any)["revision"].(string),
	} {
		if got := a.header.Get("X-Supercluster-" + header); got != want {
			t.Errorf("%s is %q, want %q", header, got, want)
		}
	}
	want, wantErr := time.ParseDuration(a.json["header"].(map[string]any)["age"].(string)) // with zeros at its end
	got, gotErr := time.ParseDuration(a.header.Get("X-Supercluster-Age"))
	if wantErr != nil || gotErr != nil || got != want {
		t.Errorf("the age is %v (%v), want %v (%v)", got, gotErr, want, wantErr)
	}
	h.put(t, "a", "1")
	tag := h.do(t, "GET", "/api/v1/config/a", "").header.Get("ETag")
	for _, each := range []answer{h.do(t, "HEAD", "/api/v1/config/a", ""), h.do(t, "GET", "/api/v1/config/a", "", "If-None-Match: "+tag)} {
		if got := each.header.Get("X-Supercluster-Source-Region"); got != "dc1" || each.text != "" {
			t.Errorf("%d: the source is %q", each.status, got)
		}
	}
	if put := h.do(t, "PUT", "/api/v1/config/a", config(`{}`)); put.header.Get("X-Supercluster-Revision") != "" {
		t.Error("a write has headers of a read")
	}
	resp, err := h.client.Get(h.url + "/api/v1/watch")
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if got := resp.Header.Get("X-Supercluster-Region") + "/" + resp.Header.Get("X-Supercluster-Node"); got != "dc1/n1" {
		t.Errorf("a watch is answered by %s", got)
	}
}
