package check

import (
	"fmt"
	"strings"
	"time"
	"unicode/utf8"

	"google.golang.org/protobuf/types/known/timestamppb"

	pb "supercluster/api/gen/supercluster/v1"
)

// MaxOutput bounds the output kept of a result, in bytes.
const MaxOutput = 512

// Policy says how many results in a row it takes. The zero Policy decides at every result.
type Policy struct {
	// Rise is how many successes in a row make a critical check passing; 0 means 1.
	Rise uint32
	// Fall is how many failures in a row make a check critical; 0 means 1.
	Fall uint32
	// Damping holds back recoveries of a check that flaps; the zero value is off.
	Damping Damping
}

// State is what is known of one check. The zero State has not seen a result yet.
type State struct {
	// Health is the last decision; unspecified until the first result.
	Health pb.Health
	// Output is what the result that decided said.
	Output string
	// Since is when it was decided.
	Since time.Time

	// streak counts the results in a row that contradict Health; down tells whether they were failures.
	streak uint32
	down   bool
	flaps  flaps
}

// Resume gives the State that a status stands for, so that a new owner of a check goes on from what is known. A nil
// status gives the zero State.
func Resume(s *pb.CheckStatus) State {
	if s == nil {
		return State{}
	}
	return State{Health: s.GetHealth(), Output: s.GetOutput(), Since: s.GetSince().AsTime()}
}

// Observe takes the result of one probe that can only succeed or fail.
func (s State) Observe(now time.Time, ok bool, output string, p Policy) (State, bool) {
	if ok {
		return s.ObserveHealth(now, pb.Health_HEALTH_PASSING, output, p)
	}
	return s.ObserveHealth(now, pb.Health_HEALTH_CRITICAL, output, p)
}

// ObserveHealth takes the result of one probe that can also warn. It answers the next State and whether Health
// changed.
func (s State) ObserveHealth(now time.Time, result pb.Health, output string, p Policy) (State, bool) {
	if s.Health == pb.Health_HEALTH_UNSPECIFIED {
		return s.become(now, result, output, p), true
	}
	if result == s.Health {
		s.streak = 0
		return s, false
	}
	down := result == pb.Health_HEALTH_CRITICAL
	if down != s.down {
		s.streak, s.down = 0, down
	}
	need := max(p.Rise, 1)
	if down {
		need = max(p.Fall, 1)
	}
	// A result held back by damping is not counted beyond the threshold, so the count cannot overflow.
	s.streak = min(s.streak+1, need)
	if s.streak < need {
		return s, false
	}
	if s.Health == pb.Health_HEALTH_CRITICAL && s.flaps.suppressed(now, p.Damping) {
		return s, false
	}
	return s.become(now, result, output, p), true
}

// Expire makes a TTL check critical because no heartbeat came for its TTL.
func (s State) Expire(now time.Time, ttl time.Duration) (State, bool) {
	if s.Health == pb.Health_HEALTH_CRITICAL {
		return s, false
	}
	return s.become(now, pb.Health_HEALTH_CRITICAL, fmt.Sprintf("no heartbeat for %v", ttl), Policy{}), true
}

// Status is what the store keeps of a State: the last transition, seen by a node.
func (s State) Status(checkID, node string) *pb.CheckStatus {
	return &pb.CheckStatus{
		CheckId: checkID,
		Health:  s.Health,
		Output:  s.Output,
		Since:   timestamppb.New(s.Since),
		Node:    node,
	}
}

func (s State) become(now time.Time, h pb.Health, output string, p Policy) State {
	fell := s.Health != pb.Health_HEALTH_UNSPECIFIED && h == pb.Health_HEALTH_CRITICAL
	next := State{Health: h, Output: Clip(output), Since: now, flaps: s.flaps}
	if fell {
		next.flaps = s.flaps.add(now, p.Damping)
	} else {
		next.flaps.held = false
	}
	return next
}

// Clip makes text from outside fit for storing: valid UTF-8 without control characters, at most MaxOutput bytes.
func Clip(text string) string {
	if len(text) > 4*MaxOutput {
		text = text[:4*MaxOutput]
	}
	text = strings.Map(func(r rune) rune {
		switch {
		case r == utf8.RuneError:
			return '?'
		case r < ' ' || r == 0x7f:
			return ' '
		default:
			return r
		}
	}, text)
	text = strings.TrimSpace(text)
	for cut := MaxOutput; len(text) > MaxOutput; cut-- {
		if utf8.RuneStart(text[cut]) {
			text = text[:cut]
		}
	}
	return text
}
