package node

import (
	"context"
	"sync"
	"time"

	"supercluster/internal/fault"
	"supercluster/region/record"
)

// slot carries one group at a time into the log.
type slot struct {
	g     *grouper
	track *track
	turn  *sync.Cond
	wake  chan struct{} // the leader changed, or everything ends

	ops      []*pending
	entry    record.Entry
	command  []byte
	sequence uint64
	deadline time.Time

	// The proposals of the group that are on their way: the newest is awaited here, the ones before it by
	// goroutines that report to late.
	live attempt
	late chan reply
	open int
	// unsure: a proposal ended without an answer, so the group may be in the log.
	unsure bool
	ended  chan struct{} // closed with the group, for those goroutines
}

func (s *slot) run(ctx context.Context) {
	for {
		ops, sequence := s.g.take(s.track, s.turn, s.ops)
		if ops == nil {
			return
		}
		s.ops, s.sequence = ops, sequence
		if !s.encode() {
			s.g.free(s.track, sequence, nil)
			continue
		}
		back, why := s.carry(ctx)
		s.g.free(s.track, sequence, back)
		if back != nil {
			s.pause(ctx, why)
		}
	}
}

// encode makes the entry. An operation that can not be encoded is answered and left out; false when none is left.
func (s *slot) encode() bool {
	err := s.tryEncode(s.ops)
	if err == nil {
		return true
	}
	good := s.ops[:0]
	for _, p := range s.ops {
		if err := s.tryEncode([]*pending{p}); err != nil {
			p.answer(answer{err: err})
			continue
		}
		good = append(good, p)
	}
	s.ops = good
	if len(good) == 0 {
		return false
	}
	if err := s.tryEncode(good); err != nil { // each fits, all together do not: the estimate of sizes is wrong
		s.finish(answer{err: err})
		return false
	}
	return true
}

func (s *slot) tryEncode(ops []*pending) error {
	s.entry.Replica, s.entry.Boot, s.entry.Sequence = s.g.replica, s.g.boot, s.sequence
	s.entry.Time = time.Now().UnixNano()
	s.entry.Ops = s.entry.Ops[:0]
	s.deadline = time.Time{}
	for _, p := range ops {
		s.entry.Ops = append(s.entry.Ops, p.op)
		if p.deadline.After(s.deadline) {
			s.deadline = p.deadline
		}
	}
	s.entry.Level = record.LevelNeeded(s.entry.Ops)
	command, err := record.AppendEntry(s.command[:0], &s.entry)
	clear(s.entry.Ops)
	if err != nil {
		return err
	}
	s.command = command
	return nil
}

// carry proposes the group until it is answered, or its time is over. It gives operations back when none of its
// proposals reached the log, so that they can go with another group.
func (s *slot) carry(ctx context.Context) (back []*pending, why refusal) {
	s.live, s.open, s.unsure = nil, 0, false
	s.late, s.ended = nil, nil
	defer func() {
		if s.ended != nil {
			close(s.ended)
		}
	}()
	select {
	case <-s.wake: // it was for a group before this one
	default:
	}
	started := time.Now()
	retry := firstRetry
	for again := true; ; {
		if again {
			refused, err := s.propose()
			if err != nil {
				if refused == refusedForGood {
					s.finish(answer{err: fault.Wrap(fault.Internal, err, "the log refused a group of writes")})
					return nil, 0
				}
				if s.open == 0 && !s.unsure {
					return s.ops, refused
				}
			}
		}
		r, ok := s.await(retry)
		switch {
		case ok && r.kind == replyDone:
			s.g.metrics.group(len(s.ops), time.Since(started))
			s.answerAll(r.data)
			return nil, 0
		case ok:
			s.open--
			s.unsure = s.unsure || r.kind == replyUnknown
			if s.open == 0 && !s.unsure {
				return s.ops, refusedNoLeader
			}
			again = s.open == 0
			if again {
				s.pause(ctx, refusedNoLeader)
			}
		default:
			// The leader changed, or nothing was heard for a while. While there is no leader there is nobody to
			// propose to; the wake that tells of one comes.
			again = s.g.hasLeader() && s.open < maxAttempts
			retry = min(2*retry, lastRetry)
		}
		if ctx.Err() != nil || !time.Now().Before(s.deadline) {
			s.finish(answer{err: unknownOutcome(context.DeadlineExceeded)})
			return nil, 0
		}
	}
}

// propose puts the group on its way once more.
func (s *slot) propose() (refusal, error) {
	a, err := s.g.log.propose(s.command, max(time.Until(s.deadline), minTimeout))
	if err != nil {
		return judge(err), err
	}
	if s.live != nil {
		s.follow(s.live)
		s.g.metrics.again()
	}
	s.live = a
	s.open++
	return 0, nil
}

// minTimeout is what Dragonboat is given at least: less than a tick is refused.
const minTimeout = 50 * time.Millisecond

// follow goes on waiting for an older proposal of the group: it is the one that was applied first that has the
// results, later ones are only known to be duplicates.
func (s *slot) follow(old attempt) {
	if s.late == nil {
		s.late = make(chan reply, maxAttempts)
		s.ended = make(chan struct{})
	}
	late, ended, wake := s.late, s.ended, s.wake
	go func() {
		if r, ok := old.await(ended, nil); ok {
			late <- r
			select {
			case wake <- struct{}{}:
			default:
			}
		}
	}()
}

// await waits for an outcome of any proposal of the group; false when it should be looked at again.
func (s *slot) await(retry time.Duration) (reply, bool) {
	select {
	case r := <-s.late:
		return r, true
	default:
	}
	wait := min(retry, time.Until(s.deadline))
	timer := time.NewTimer(max(wait, 0))
	defer timer.Stop()
	if s.live == nil {
		select {
		case <-s.wake:
		case <-timer.C:
		}
	} else if r, ok := s.live.await(s.wake, timer.C); ok {
		s.live = nil
		return r, true
	}
	select {
	case r := <-s.late:
		return r, true
	default:
		return reply{}, false
	}
}

// pause waits for what stood in the way to pass.
func (s *slot) pause(ctx context.Context, why refusal) {
	d := leaderPause
	if why == refusedBusy {
		d = busyPause
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
	case <-s.wake:
	case <-timer.C:
	}
}

// answerAll gives each operation its result.
func (s *slot) answerAll(data []byte) {
	results, err := record.DecodeResults(data)
	if err == nil && len(results) != len(s.ops) {
		err = fault.New(fault.Internal, "%d results for %d operations", len(results), len(s.ops))
	}
	if err != nil {
		s.finish(answer{err: err})
		return
	}
	for i, p := range s.ops {
		p.answer(answer{result: results[i]})
	}
	clear(s.ops)
}

// finish gives every operation the same answer.
func (s *slot) finish(a answer) {
	for _, p := range s.ops {
		p.answer(a)
	}
	clear(s.ops)
}
