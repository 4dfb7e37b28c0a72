package wire

import (
	"bytes"
	"context"
	"net"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/lni/dragonboat/v4/config"
	pb "github.com/lni/dragonboat/v4/raftpb"
)

// inbox collects what Dragonboat would be given.
type inbox struct {
	mu      sync.Mutex
	batches []pb.MessageBatch
	chunks  []pb.Chunk
	refuse  bool
}

func (i *inbox) batch(b pb.MessageBatch) {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.batches = append(i.batches, b)
}

func (i *inbox) chunk(c pb.Chunk) bool {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.chunks = append(i.chunks, c)
	return !i.refuse
}

func (i *inbox) entries() (entries []pb.Entry) {
	i.mu.Lock()
	defer i.mu.Unlock()
	for _, b := range i.batches {
		for _, m := range b.Requests {
			entries = append(entries, m.Entries...)
		}
	}
	return entries
}

func (i *inbox) count() int {
	i.mu.Lock()
	defer i.mu.Unlock()
	return len(i.chunks)
}

func startTransport(t *testing.T, w *Wire, in *inbox) *transport {
	t.Helper()
	tr := w.Transport().Create(config.NodeHostConfig{}, in.batch, in.chunk).(*transport)
	if err := tr.Start(); err != nil {
		t.Fatal(err)
	}
	return tr
}

func TestTransport_BatchesBeyondTheFrameLimitArriveWhole(t *testing.T) {
	m := newMesh(t, "n1", "n2")
	in := &inbox{}
	t1 := startTransport(t, m.run(m.config("n1")), &inbox{})
	startTransport(t, m.run(m.config("n2")), in)
	conn, err := t1.GetConnection(context.Background(), "n2")
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	message := pb.Message{Type: pb.Replicate, ShardID: 1, From: 1, To: 2, Term: 7, LogIndex: 100, LogTerm: 6, Commit: 99}
	for i := range uint64(40) {
		message.Entries = append(message.Entries, pb.Entry{Term: 7, Index: 101 + i, Cmd: bytes.Repeat([]byte{byte(i)}, 512<<10)})
	}
	batch := pb.MessageBatch{DeploymentId: 1, SourceAddress: "x", BinVer: 3, Requests: []pb.Message{
		{Type: pb.Heartbeat, ShardID: 1, From: 1, To: 2}, message, {Type: pb.ReadIndex, ShardID: 1, From: 1, To: 2, Hint: 5},
	}}
	if err := conn.SendMessageBatch(batch); err != nil {
		t.Fatal(err)
	}
	eventually(t, "everything arrives", 5*time.Second, func() bool { return len(in.entries()) == 40 })
	in.mu.Lock()
	defer in.mu.Unlock()
	if len(in.batches) < 3 {
		t.Errorf("20 MiB came in %d frames", len(in.batches))
	}
	// Every piece continues the one before it, as Raft's log matching needs.
	previous, term := uint64(100), uint64(6)
	for _, b := range in.batches {
		if b.DeploymentId != 1 || b.SourceAddress != "x" || b.BinVer != 3 {
			t.Errorf("the batch's own fields were lost: %+v", b.DeploymentId)
		}
		for _, got := range b.Requests {
			if got.Type != pb.Replicate {
				continue
			}
			if got.LogIndex != previous || got.LogTerm != term || got.Commit != 99 || got.Term != 7 {
				t.Fatalf("a piece after entry %d begins at %d of term %d", previous, got.LogIndex, got.LogTerm)
			}
			for _, e := range got.Entries {
				if e.Index != previous+1 || e.Cmd[0] != byte(e.Index-101) {
					t.Fatalf("entry %d after %d", e.Index, previous)
				}
				previous, term = e.Index, e.Term
			}
		}
	}
}

func TestTransport_SnapshotCloseWaitsForTheReceiver(t *testing.T) {
	m := newMesh(t, "n1", "n2")
	in := &inbox{}
	t1 := startTransport(t, m.run(m.config("n1")), &inbox{})
	startTransport(t, m.run(m.config("n2")), in)
	conn, err := t1.GetSnapshotConnection(context.Background(), "n2")
	if err != nil {
		t.Fatal(err)
	}
	for i := range uint64(5) {
		chunk := pb.Chunk{ShardID: 1, ReplicaID: 2, From: 1, ChunkId: i, Data: bytes.Repeat([]byte{1}, 2<<20)}
		if err := conn.SendChunk(chunk); err != nil {
			t.Fatal(err)
		}
	}
	conn.Close()
	if n := in.count(); n != 5 {
		t.Errorf("after Close %d of 5 chunks had arrived", n)
	}
	if err := conn.SendChunk(pb.Chunk{}); err == nil {
		t.Error("a closed connection took a chunk")
	}
}

func TestTransport_UnwantedChunkEndsTheConnection(t *testing.T) {
	m := newMesh(t, "n1", "n2")
	t1 := startTransport(t, m.run(m.config("n1")), &inbox{})
	startTransport(t, m.run(m.config("n2")), &inbox{refuse: true})
	conn, err := t1.GetSnapshotConnection(context.Background(), "n2")
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	eventually(t, "sending fails", 2*time.Second, func() bool { return conn.SendChunk(pb.Chunk{ShardID: 1}) != nil })
	big := pb.Chunk{Data: make([]byte, maxChunk+1)}
	if err := conn.SendChunk(big); err == nil {
		t.Error("a chunk over the limit was sent")
	}
}

// A member restarted while nothing was said to it: the first message, perhaps a vote, must arrive.
func TestTransport_FirstMessageAfterAPeersRestartArrives(t *testing.T) {
	m := newMesh(t, "n1", "n2")
	t1 := startTransport(t, m.run(m.config("n1")), &inbox{})
	w, err := New(m.config("n2"))
	if err != nil {
		t.Fatal(err)
	}
	stop := runWire(t, w)
	conn, err := t1.GetConnection(context.Background(), "n2")
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	stop()
	eventually(t, "to nobody, sending fails", time.Second, func() bool { return conn.SendMessageBatch(pb.MessageBatch{}) != nil })
	if m.listeners["n2"], err = net.Listen("tcp", m.members["n2"]); err != nil {
		t.Fatal(err)
	}
	in := &inbox{}
	startTransport(t, m.run(m.config("n2")), in)
	if err := conn.SendMessageBatch(pb.MessageBatch{Requests: []pb.Message{{Entries: []pb.Entry{{Index: 1}}}}}); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the first message arrives", time.Second, func() bool { return len(in.entries()) == 1 })
}

func TestTransport_BeforeStartAndAfterCloseMessagesAreLost(t *testing.T) {
	m := newMesh(t, "n1", "n2")
	in := &inbox{}
	t1 := startTransport(t, m.run(m.config("n1")), &inbox{})
	n2 := m.run(m.config("n2"))
	conn, err := t1.GetConnection(context.Background(), "n2")
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	send := func(index uint64) {
		t.Helper()
		b := pb.MessageBatch{Requests: []pb.Message{{Type: pb.Replicate, Entries: []pb.Entry{{Index: index}}}}}
		if err := conn.SendMessageBatch(b); err != nil {
			t.Fatal(err)
		}
	}
	send(1)
	t2 := startTransport(t, n2, in)
	eventually(t, "a later one arrives", 2*time.Second, func() bool {
		send(2)
		return len(in.entries()) > 0
	})
	if err := t2.Close(); err != nil {
		t.Fatal(err)
	}
	if n2.receiver.Load() != nil {
		t.Error("a closed transport still receives")
	}
	if t1.Name() == "" || !m.wires["n1"].Transport().Validate("anything") {
		t.Error("Dragonboat asks for a name and a valid address")
	}
}

// Dragonboat takes itself apart once its transport is closed: by then nothing may be on its way to it, nor come later.
func TestTransport_CloseWaitsForWhatIsHandedOver(t *testing.T) {
	in, inside, leave := atomic.Bool{}, make(chan struct{}), make(chan struct{})
	r := &receiver{batch: func(pb.MessageBatch) {
		in.Store(true)
		close(inside)
		<-leave
		in.Store(false)
	}, chunk: func(pb.Chunk) bool { t.Error("a chunk came after the end"); return true }}
	w := &Wire{}
	tr := &transport{w: w, receiver: r}
	if err := tr.Start(); err != nil {
		t.Fatal(err)
	}
	go w.receiver.Load().takeBatch(pb.MessageBatch{})
	<-inside
	go close(leave)
	if err := tr.Close(); err != nil || in.Load() {
		t.Errorf("closed (%v) while a batch is handed over", err)
	}
	r.takeBatch(pb.MessageBatch{}) // would close inside again
	if r.takeChunk(pb.Chunk{}) {
		t.Error("a chunk was wanted after the end")
	}
}
