package wire

import (
	"context"
	"time"

	"github.com/lni/dragonboat/v4/config"
	"github.com/lni/dragonboat/v4/raftio"
	pb "github.com/lni/dragonboat/v4/raftpb"

	"supercluster/internal/fault"
)

// Transport gives Dragonboat its transport: targets are names of members. It works while Run does.
func (w *Wire) Transport() config.TransportFactory { return transportFactory{w} }

type transportFactory struct{ w *Wire }

// Create is called by Dragonboat when its host starts.
func (f transportFactory) Create(_ config.NodeHostConfig, batch raftio.MessageHandler, chunk raftio.ChunkHandler) raftio.ITransport {
	return &transport{w: f.w, receiver: &receiver{batch: batch, chunk: chunk}}
}

// Validate takes any text: Dragonboat asks it about its own address, which nobody dials.
func (transportFactory) Validate(string) bool { return true }

// transport is Wire as Dragonboat sees it. The port is Wire's: starting only tells where arrivals go.
type transport struct {
	w        *Wire
	receiver *receiver
}

// Name names the transport in Dragonboat's log.
func (t *transport) Name() string { return "supercluster-wire" }

// Start lets arriving messages in.
func (t *transport) Start() error {
	t.w.receiver.Store(t.receiver)
	return nil
}

// Close lets no more messages in, and waits for those that are being handed over.
func (t *transport) Close() error {
	t.w.receiver.CompareAndSwap(t.receiver, nil)
	t.receiver.close()
	return nil
}

// GetConnection connects for batches of messages.
func (t *transport) GetConnection(ctx context.Context, target string) (raftio.IConnection, error) {
	c := &raftConnection{w: t.w, target: target}
	if err := c.connect(ctx); err != nil {
		return nil, err
	}
	return c, nil
}

// GetSnapshotConnection connects for the chunks of one snapshot.
func (t *transport) GetSnapshotConnection(ctx context.Context, target string) (raftio.ISnapshotConnection, error) {
	conn, _, err := t.w.dial(ctx, target, KindSnapshot)
	if err != nil {
		return nil, err
	}
	return &snapshotConnection{sender: sender{w: t.w, to: target, kind: KindSnapshot, timeout: chunkTimeout, conn: conn}}, nil
}

// watch notices that a peer closed a connection on which it never says anything: otherwise the first frames after
// its restart would vanish into the old connection.
func (w *Wire) watch(s *sender) {
	w.group.Go(func() {
		var b [1]byte
		_, _ = s.conn.Read(b[:])
		s.close()
	})
}

// raftConnection sends batches to one member, over one connection after the other. Followers say nothing to each other
// between elections, so a connection may have been broken for long when it is needed for a vote. Dragonboat, told of
// the failure, would not send anything to that member for a second; so it is told only when the member can not be
// reached now.
type raftConnection struct {
	w       *Wire
	target  string
	sender  *sender
	buffer  []byte
	answers answers
}

// redialTimeout bounds how long the messages to a member wait for a new connection to it.
const redialTimeout = time.Second

func (c *raftConnection) connect(ctx context.Context) error {
	conn, _, err := c.w.dial(ctx, c.target, KindRaft)
	if err != nil {
		return err
	}
	c.answers = answers{}
	c.sender = &sender{w: c.w, to: c.target, kind: KindRaft, timeout: writeTimeout, conn: conn}
	c.w.watch(c.sender)
	return nil
}

// Close is called by Dragonboat when it gives the connection up.
func (c *raftConnection) Close() { c.sender.close() }

// SendMessageBatch sends what is news, in as many frames as their limit asks for. Only one goroutine sends.
func (c *raftConnection) SendMessageBatch(batch pb.MessageBatch) error {
	if c.sender.broken() {
		c.answers = answers{} // the last one may not have arrived
	}
	news := c.answers.news(batch.Requests, time.Now())
	if len(news) == 0 && len(batch.Requests) > 0 {
		return nil
	}
	batch.Requests = news
	if batch.SizeUpperLimit() <= maxBatch {
		return c.sendBatch(batch)
	}
	for _, part := range split(batch) {
		if err := c.sendBatch(part); err != nil {
			return err
		}
	}
	return nil
}

func (c *raftConnection) sendBatch(batch pb.MessageBatch) error {
	size := headerSize + batch.SizeUpperLimit()
	if size > cap(c.buffer) {
		c.buffer = make([]byte, 2*size)
	}
	n, err := batch.MarshalTo(c.buffer[headerSize:cap(c.buffer)])
	if err != nil {
		return fault.Wrap(fault.Internal, err, "a batch of Raft messages could not be encoded")
	}
	err = c.sendFrame(sealFrame(c.buffer[:headerSize+n], frameBatch))
	if cap(c.buffer) > keepBuffer {
		c.buffer = nil
	}
	return err
}

// sendFrame sends one frame, over a new connection when the old one broke. A frame that arrives twice is nothing to Raft.
func (c *raftConnection) sendFrame(frame []byte) error {
	if err := c.sender.send(frame); err == nil {
		return nil
	}
	c.sender.close()
	ctx, cancel := context.WithTimeout(context.Background(), redialTimeout)
	defer cancel()
	if err := c.connect(ctx); err != nil {
		return err
	}
	return c.sender.send(frame)
}

// split cuts a batch into parts that fit into frames: between messages, and inside a message that replicates many
// entries, as if the leader had sent it in several.
func split(batch pb.MessageBatch) []pb.MessageBatch {
	var parts []pb.MessageBatch
	part := batch
	part.Requests = nil
	size := 0
	flush := func() {
		if len(part.Requests) > 0 {
			parts = append(parts, part)
			part.Requests, size = nil, 0
		}
	}
	const room = maxBatch / 2 // leaves space for the batch's own fields and for one large entry
	for _, m := range batch.Requests {
		for _, piece := range splitMessage(m, room) {
			n := piece.SizeUpperLimit()
			if size+n > room {
				flush()
			}
			part.Requests = append(part.Requests, piece)
			size += n
		}
	}
	flush()
	return parts
}

func splitMessage(m pb.Message, room int) []pb.Message {
	if m.Type != pb.Replicate || m.SizeUpperLimit() <= room {
		return []pb.Message{m}
	}
	var pieces []pb.Message
	entries := m.Entries
	for len(entries) > 0 {
		n, size := 0, 0
		for n < len(entries) && (n == 0 || size+entries[n].SizeUpperLimit() <= room) {
			size += entries[n].SizeUpperLimit()
			n++
		}
		piece := m
		piece.Entries = entries[:n:n]
		pieces = append(pieces, piece)
		m.LogIndex, m.LogTerm = entries[n-1].Index, entries[n-1].Term
		entries = entries[n:]
	}
	return pieces
}

type snapshotConnection struct{ sender }

// SendChunk sends one chunk.
func (c *snapshotConnection) SendChunk(chunk pb.Chunk) error {
	frame := make([]byte, headerSize+chunk.Size())
	n, err := chunk.MarshalTo(frame[headerSize:])
	if err != nil {
		return fault.Wrap(fault.Internal, err, "a chunk of a snapshot could not be encoded")
	}
	if n > maxChunk {
		return fault.New(fault.TooLarge, "a chunk of a snapshot has %d bytes, over the limit of %d", n, maxChunk)
	}
	return c.send(sealFrame(frame[:headerSize+n], frameChunk))
}

// Close waits until the receiver has taken everything that was sent, then ends the connection.
func (c *snapshotConnection) Close() {
	defer c.close()
	if c.write(newFrame(frameEnd, nil)) != nil {
		return
	}
	_ = c.conn.SetReadDeadline(time.Now().Add(chunkTimeout))
	frames := frameReader{r: c.conn, limit: maxHello}
	_, _, _ = frames.next()
}
