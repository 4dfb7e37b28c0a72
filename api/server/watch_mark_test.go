package server

import (
	"bufio"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/types/known/durationpb"

	pb "supercluster/api/gen/supercluster/v1"
	"supercluster/federation"
	"supercluster/internal/fault"
	"supercluster/region/record"
)

// sent keeps what a watch sends.
type sent struct {
	grpc.ServerStreamingServer[pb.WatchResponse]
	messages []*pb.WatchResponse
}

func (s *sent) Send(m *pb.WatchResponse) error {
	s.messages = append(s.messages, m)
	return nil
}

// A node that is behind what another one has shown to a client must not tell it to resume from there: it would be shown
// again what it had seen. Only when the node has come so far does it mark where it is.
func TestWatch_NoMarkBeforeTheStart(t *testing.T) {
	stream := &sent{}
	out := newSender(t.Context(), stream, time.Minute, 100)
	filter := &eventFilter{shard: record.ShardData, progress: time.Hour}
	h := newHarness(t)
	for _, at := range []uint64{90, 98, 99, 120} {
		if err := (watchService{s: h.Server}).deliver(t.Context(), out, filter, 100, nil, record.Positions{Data: at}); err != nil {
			t.Fatal(err)
		}
	}
	out.close()
	if len(stream.messages) != 2 || stream.messages[0].GetRevision() != 99 || stream.messages[1].GetRevision() != 120 {
		t.Errorf("it was told %v", stream.messages)
	}
}

// movingStanding is a Sources whose copy of dc2 is at a revision, at positions of this node.
type movingStanding struct {
	revision uint64
	at       record.Positions
	asked    federation.Watched
	err      error
}

func (m *movingStanding) Ages() func([16]byte) (time.Duration, bool) {
	return func([16]byte) (time.Duration, bool) { return 0, false }
}

func (m *movingStanding) Standing(w federation.Watched) ([]federation.Standing, record.Positions, error) {
	m.asked = w
	if m.err != nil {
		return nil, record.Positions{}, m.err
	}
	return []federation.Standing{{Region: [16]byte{2}, Incarnation: 1, Revision: m.revision}}, m.at, nil
}

// A mark says of other regions what was there at positions that the watch has come to: never what the node got since.
func TestWatch_MarkIsNotAheadOfTheWatch(t *testing.T) {
	m := &movingStanding{}
	h := newHarness(t, func(c *Config) { c.Sources = m })
	f := &eventFilter{shard: record.ShardData, tenant: 3, namespace: 4, kind: record.KindConfig, prefix: "app/"}
	mark := func(at, revision, nodeAt uint64) uint64 {
		t.Helper()
		m.revision, m.at = revision, record.Positions{Data: nodeAt}
		all := (watchService{s: h.Server}).mark(f, record.Positions{Data: at}).GetSources()
		if len(all) == 0 {
			return 0
		}
		if all[0].GetAge() != nil {
			t.Errorf("an age that nobody knows: %v", all[0])
		}
		return all[0].GetRevision()
	}
	for _, step := range []struct{ at, revision, nodeAt, want uint64 }{
		{10, 500, 12, 0},   // the node had two revisions more than the watch was given
		{11, 510, 14, 0},   // still
		{14, 520, 20, 510}, // what was there at the mark before
		{20, 530, 20, 530},
		{20, 540, 21, 530},
	} {
		if got := mark(step.at, step.revision, step.nodeAt); got != step.want {
			t.Errorf("at %d, with revision %d at %d: the mark says %d, want %d", step.at, step.revision, step.nodeAt, got, step.want)
		}
	}
	if want := (federation.Watched{Tenant: 3, Namespace: 4, Kind: record.KindConfig, Prefix: "app/"}); m.asked != want {
		t.Errorf("asked for %+v", m.asked)
	}
	m.err = fault.New(fault.Unavailable, "not open")
	if got := mark(21, 0, 0); got != 540 {
		t.Errorf("a store that does not answer: the mark says %d", got)
	}
	if all := (watchService{s: h.Server}).mark(&eventFilter{shard: record.ShardSystem}, record.Positions{}).GetSources(); len(all) > 0 {
		t.Errorf("nodes are of no other region: %v", all)
	}
}

// Progress marks name the other regions over gRPC and over HTTP, with position and age.
func TestWatch_MarksNameOtherRegions(t *testing.T) {
	h := twoRegions(t)
	want := func(s *pb.SourcePosition) {
		t.Helper()
		c := s.GetChannels()
		if s.GetRegion() != "dc2" || s.GetRevision() != 640 || s.GetIncarnation() != 3 || s.GetAge().AsDuration() < 7*time.Second ||
			len(c) != 1 || c[0].GetClass() != "endpoints" || c[0].GetName() != "all" || c[0].GetSequence() != 12 || c[0].GetIncarnation() != 3 {
			t.Errorf("source %v", s)
		}
	}
	stream := h.startWatch(t, &pb.WatchRequest{Kind: pb.Kind_KIND_INSTANCE, Progress: durationpb.New(time.Second)})
	m := receive(t, stream, "progress")[0]
	if len(m.GetSources()) != 1 {
		t.Fatalf("the mark is %v", m)
	}
	want(m.GetSources()[0])

	resp, err := h.client.Get(h.url + "/api/v1/watch?kind=KIND_INSTANCE&progress=1s")
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	lines := bufio.NewScanner(resp.Body)
	if !lines.Scan() {
		t.Fatal(lines.Err())
	}
	got := &pb.WatchResponse{}
	if err := protojson.Unmarshal(lines.Bytes(), got); err != nil || !got.GetProgress() || len(got.GetSources()) != 1 {
		t.Fatalf("%s: %v", lines.Text(), err)
	}
	want(got.GetSources()[0])
}
