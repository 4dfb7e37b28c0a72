package server

import (
	"testing"
	"time"

	"google.golang.org/grpc"

	pb "supercluster/api/gen/supercluster/v1"
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
