package record_test

import (
	"strings"
	"testing"

	"pgregory.net/rapid"

	"supercluster/region/record"
)

// The queue of proposals trusts the estimate: an operation that is larger than it said makes a group that nobody can log.
func TestFeedBytes_IsNeverBelowTheEncodedSize(t *testing.T) {
	const envelope = 96 // what the queue adds for the operation itself, and its request id
	empty, err := record.AppendEntry(nil, &record.Entry{})
	if err != nil {
		t.Fatal(err)
	}
	rapid.Check(t, func(t *rapid.T) {
		op := record.Op{Type: record.OpType(rapid.IntRange(int(record.OpPeer), int(record.OpWithdraw)).Filter(func(n int) bool { return n != int(record.OpHeal) }).Draw(t, "type"))}
		genFeedOp(t, &op)
		enlarge(&op, strings.Repeat("x", rapid.SampledFrom([]int{0, 100, 600, 5000}).Draw(t, "text")))
		b, err := record.AppendEntry(nil, oneOp(op))
		if err != nil {
			t.Fatal(err)
		}
		if size := len(b) - len(empty); size > op.FeedBytes()+envelope {
			t.Fatalf("operation %d has %d bytes, estimated as %d", op.Type, size, op.FeedBytes())
		}
	})
}

// enlarge makes long what nothing else bounds.
func enlarge(op *record.Op, text string) {
	switch {
	case op.Peer != nil:
		op.Peer.Writer = record.Writer{Actor: text, Message: text}
	case op.Place != nil:
		op.Place.Name, op.Place.Prefix, op.Place.Writer = text, text, record.Writer{Actor: text, Message: text}
	case op.SetChannel != nil:
		op.SetChannel.Channel.Name = text
	case op.Walk != nil:
		op.Walk.From = []byte(text)
	case op.Import != nil:
		op.Import.Records = append(op.Import.Records, []byte(text))
	case op.Replace != nil:
		op.Replace.To = []byte(text)
	case op.SetFence != nil:
		op.SetFence.Reason, op.SetFence.Proof = text, []byte(text)
	}
}
