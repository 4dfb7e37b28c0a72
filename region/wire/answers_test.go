package wire

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	pb "github.com/lni/dragonboat/v4/raftpb"
)

func answer(term, index uint64) pb.Message {
	return pb.Message{Type: pb.ReplicateResp, ShardID: 1, From: 2, To: 1, Term: term, LogIndex: index}
}

func TestAnswers_LeaveOutWhatTheLeaderHasHeard(t *testing.T) {
	rejected, elsewhere := answer(3, 7), answer(3, 7)
	rejected.Reject = true
	elsewhere.ShardID = 2
	start := time.Unix(1000, 0)
	for _, test := range []struct {
		name  string
		after time.Duration // of the second batch
		batch []pb.Message
		want  string
	}{
		{"the same again", 0, []pb.Message{answer(3, 7)}, ""},
		{"an older one", 0, []pb.Message{answer(3, 6)}, ""},
		{"a newer one", 0, []pb.Message{answer(3, 8), answer(3, 8)}, "3.8"},
		{"a term of another leader", 0, []pb.Message{answer(4, 7), answer(4, 7)}, "4.7"},
		{"a rejection", 0, []pb.Message{rejected, answer(3, 7)}, "3.7!"},
		{"another shard", 0, []pb.Message{elsewhere}, "3.7"},
		{"just in time", answersHeld - 1, []pb.Message{answer(3, 7)}, ""},
		{"perhaps it was lost", answersHeld, []pb.Message{answer(3, 7), answer(3, 7)}, "3.7"},
		{"among others", 0, []pb.Message{{Type: pb.HeartbeatResp, Term: 3}, answer(3, 7), {Type: pb.ReadIndex, Term: 3}}, "3.0 3.0"},
	} {
		t.Run(test.name, func(t *testing.T) {
			var a answers
			if first := a.news([]pb.Message{answer(3, 7)}, start); len(first) != 1 {
				t.Fatal("the first answer was left out")
			}
			given := fmt.Sprint(test.batch)
			var got []string
			for _, m := range a.news(test.batch, start.Add(test.after)) {
				mark := ""
				if m.Reject {
					mark = "!"
				}
				got = append(got, fmt.Sprintf("%d.%d%s", m.Term, m.LogIndex, mark))
			}
			if strings.Join(got, " ") != test.want {
				t.Errorf("said %v, want %q", got, test.want)
			}
			if fmt.Sprint(test.batch) != given {
				t.Error("the caller's messages were changed")
			}
		})
	}
}

// TestTransport_AnswersOnceOnAConnection: a new connection says everything again, for what was on the one before may be lost.
func TestTransport_AnswersOnceOnAConnection(t *testing.T) {
	m := newMesh(t, "n1", "n2")
	in := &inbox{}
	t1 := startTransport(t, m.run(m.config("n1")), &inbox{})
	startTransport(t, m.run(m.config("n2")), in)
	received := func() (n int) {
		in.mu.Lock()
		defer in.mu.Unlock()
		for _, b := range in.batches {
			n += len(b.Requests)
		}
		return n
	}
	made, err := t1.GetConnection(context.Background(), "n2")
	if err != nil {
		t.Fatal(err)
	}
	defer made.Close()
	conn := made.(*raftConnection)
	say := func(messages ...pb.Message) {
		t.Helper()
		if err := conn.SendMessageBatch(pb.MessageBatch{Requests: messages}); err != nil {
			t.Fatal(err)
		}
	}
	conn.answers.said = time.Now().Add(time.Hour) // so that no pause of this test lets an answer be forgotten
	conn.answers.shard, conn.answers.term, conn.answers.index = 1, 3, 7
	say(answer(3, 7))
	say(pb.Message{Type: pb.HeartbeatResp, ShardID: 1, Term: 3})
	eventually(t, "the heartbeat arrives, and nothing before it", 5*time.Second, func() bool { return received() == 1 })
	if err := conn.sender.conn.Close(); err != nil {
		t.Fatal(err)
	}
	eventually(t, "it is noticed", 5*time.Second, conn.sender.broken)
	say(answer(3, 7))
	eventually(t, "the answer arrives, over a new connection", 5*time.Second, func() bool { return received() == 2 })
}
