package health

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/protobuf/proto"

	pb "supercluster/api/gen/supercluster/v1"
	"supercluster/internal/bubble"
	"supercluster/internal/fault"
)

// post is a node channel to one other node that takes its time.
type post struct {
	mu       sync.Mutex
	takes    time.Duration
	flying   int
	most     int
	messages []int // targets in each
	largest  int
	answer   func(req *pb.HeartbeatRequest) ([]uint32, error)
}

func (p *post) call(_ context.Context, _ string, _ uint8, payload []byte) ([]byte, error) {
	var req pb.HeartbeatRequest
	if err := proto.Unmarshal(payload[1:], &req); err != nil {
		return nil, err
	}
	p.mu.Lock()
	p.flying++
	p.most = max(p.most, p.flying)
	p.messages = append(p.messages, len(req.GetTargets()))
	p.largest = max(p.largest, len(payload))
	p.mu.Unlock()
	time.Sleep(p.takes)
	p.mu.Lock()
	p.flying--
	p.mu.Unlock()
	unknown, err := p.answer(&req)
	if err != nil {
		return nil, err
	}
	return proto.Marshal(&pb.HeartbeatResponse{Unknown: unknown})
}

// away is a node whose every check belongs to another one.
func away(t *testing.T, p *post) *Runner {
	n := New(Config{
		Views: newRegion(t), Node: "n1", Alive: func() []string { return []string{"n2"} }, Call: p.call,
		Propose: nil,
	})
	t.Cleanup(run(t, n))
	synctest.Wait()
	return n
}

// odd answers that the instances with odd names are unknown.
func odd(req *pb.HeartbeatRequest) (unknown []uint32, err error) {
	for i, t := range req.GetTargets() {
		if last := t.GetInstance()[len(t.GetInstance())-1]; (last-'0')%2 == 1 {
			unknown = append(unknown, uint32(i))
		}
	}
	return unknown, nil
}

// TestCourier_Batches: what queues while a message is on its way goes together, and each caller gets its own answer.
func TestCourier_Batches(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		p := &post{takes: 100 * time.Millisecond, answer: odd}
		n := away(t, p)
		const callers = 300
		var wg sync.WaitGroup
		start := time.Now()
		for i := range callers {
			wg.Go(func() {
				targets := []*pb.HeartbeatTarget{{Instance: "0"}, {Instance: fmt.Sprint(i)}, {Instance: "1"}}
				want := "[2]"
				if i%2 == 1 {
					want = "[1 2]"
				}
				unknown, err := n.Heartbeat(t.Context(), targets)
				if err != nil || fmt.Sprint(unknown) != want {
					t.Errorf("caller %d: %v, %v, want %s", i, unknown, err, want)
				}
			})
			if i == 0 {
				synctest.Wait() // its message is on its way
			}
		}
		wg.Wait()
		if took := time.Since(start); took != 200*time.Millisecond {
			t.Errorf("it took %v, want two messages' time", took)
		}
		if p.most != 1 || len(p.messages) != 2 {
			t.Errorf("messages of %v targets, %d at a time", p.messages, p.most)
		}
	})
}

// TestCourier_Bounds: messages are bounded, and so is what waits.
func TestCourier_Bounds(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		p := &post{takes: time.Second, answer: odd}
		n := away(t, p)
		call := func() []*pb.HeartbeatTarget {
			targets := make([]*pb.HeartbeatTarget, maxTargets)
			for i := range targets {
				targets[i] = &pb.HeartbeatTarget{Instance: fmt.Sprint(i), Output: strings.Repeat("x", 100)}
			}
			return targets
		}()
		var wg sync.WaitGroup
		var mu sync.Mutex
		busy := 0
		for range 8 {
			wg.Go(func() {
				unknown, err := n.Heartbeat(t.Context(), call)
				switch {
				case fault.Is(err, fault.Busy):
					mu.Lock()
					busy++
					mu.Unlock()
				case err != nil || len(unknown) != maxTargets/2 || unknown[0] != 1 || unknown[len(unknown)-1] != maxTargets-1:
					t.Errorf("%d unknown, %v", len(unknown), err)
				}
			})
		}
		wg.Wait()
		if busy < 3 || busy > 4 {
			t.Errorf("%d of 8 calls found the queue full", busy)
		}
		if p.largest > maxBatchBytes+1 {
			t.Errorf("a message of %d bytes", p.largest)
		}
	})
}

// TestCourier_Failures: a call that fails, and an answer that makes no sense, are errors to the caller; the next
// heartbeats go again.
func TestCourier_Failures(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		p := &post{answer: odd}
		n := away(t, p)
		target := []*pb.HeartbeatTarget{{Instance: "1"}}
		for name, answer := range map[string]func(*pb.HeartbeatRequest) ([]uint32, error){
			"the node is gone": func(*pb.HeartbeatRequest) ([]uint32, error) { return nil, fault.New(fault.Unavailable, "gone") },
			"index too large":  func(*pb.HeartbeatRequest) ([]uint32, error) { return []uint32{1}, nil },
		} {
			p.answer = answer
			if _, err := n.Heartbeat(t.Context(), target); !fault.Is(err, fault.Unavailable) {
				t.Errorf("%s: %v", name, err)
			}
		}
		p.answer = odd
		if unknown, err := n.Heartbeat(t.Context(), target); err != nil || len(unknown) != 1 {
			t.Errorf("%v, %v", unknown, err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		p.takes = time.Minute
		time.AfterFunc(time.Second, cancel)
		if _, err := n.Heartbeat(ctx, target); !fault.Is(err, fault.Canceled) {
			t.Errorf("canceled: %v", err)
		}
	})
}
