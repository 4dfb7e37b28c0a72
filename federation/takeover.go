package federation

import (
	"context"
	"time"

	"supercluster/federation/feed"
	"supercluster/region/record"
)

// apply takes messages over, in order. Batches that came together go as one operation.
func (p *puller) apply(ctx context.Context, importer *feed.Importer, messages []*feed.Message) error {
	messages = p.answers(messages)
	for i := 0; i < len(messages); {
		n := mergeable(messages[i:])
		m := merge(messages[i : i+n])
		if m.Refuse != nil {
			p.waits() // the peer is there, and says why nothing comes
			p.f.judge(ctx, m.Refuse.Head)
		}
		op, err := importer.Take(m)
		if m.Refuse != nil && m.Refuse.Reason == feed.RefusedFenced {
			return errFenced
		}
		if err != nil {
			return err
		}
		if op != nil {
			if err := p.propose(ctx, op, m); err != nil {
				return err
			}
		}
		size := 0
		for _, each := range messages[i : i+n] {
			size += each.Size()
		}
		if back := p.credit.took(size); back > 0 {
			m := &feed.Message{Type: feed.TypeCredit, Region: p.name.region, Channel: p.name.channel, Credit: back}
			if err := p.in.send(ctx, m); err != nil {
				return err
			}
		}
		i += n
	}
	return nil
}

// bulkBytes is from which size on an operation is part of catching up: then most of the time belongs to local writers, and
// more of it while tables are written. With 100,000 records to catch up with, their p99 was 75 ms without pauses, and
// it is 5 to 9 ms with them; the end comes a second later (ADR 0018, 0019).
const (
	bulkBytes = feed.MaxBatchBytes / 2
	busyYield = 3
	minYield  = 6 * time.Millisecond // a fast machine has the time
	maxYield  = 50 * time.Millisecond
)

// yield is how long bulk work leaves the store to others after an operation that took so long.
func yield(took time.Duration, busy bool) time.Duration {
	took = max(2*took, minYield)
	if busy {
		took *= busyYield
	}
	return min(took, maxYield)
}

// propose has an operation applied, and notes how fresh the channel is then. An idle head is written only if it says
// something new about revisions: otherwise what it says is noted in memory.
func (p *puller) propose(ctx context.Context, op *record.Op, m *feed.Message) error {
	if acknowledgesEarly {
		p.applied(op, m)
	}
	idle := op.Import != nil && len(op.Import.Records) == 0 && len(op.Import.Document) == 0
	if !idle || p.f.ages.worthWriting(p.name, op.Import.Head) {
		bulk := op.FeedBytes() > bulkBytes
		if bulk && p.f.cfg.CatchingUp != nil {
			p.f.cfg.CatchingUp()
		}
		began := time.Now()
		if _, err := p.f.propose(ctx, *op); err != nil {
			return err
		}
		if bulk {
			pause(ctx, yield(time.Since(began), p.f.cfg.Store.Busy()))
		}
		p.f.metrics.imported(op)
	}
	p.applied(op, m)
	return nil
}

// applied notes where the channel stands and how fresh it is after an operation. What was only received counts for nothing.
func (p *puller) applied(op *record.Op, m *feed.Message) {
	switch {
	case op.Import != nil:
		if head, err := record.DecodeFeedHead(op.Import.Head); err == nil {
			p.f.routes.head(p.name, head.Position, op.Import.Head)
			p.f.routes.applied(p.name, head.Position)
			p.f.ages.cover(p.name, coveredHead{head.Position.Incarnation, head.Position.Sequence, head.Revision})
		}
		if m.Batch.Stamp != 0 {
			p.answered(m.Batch.Stamp)
			p.f.ages.note(p.name, m.Batch.Stamp, time.Duration(m.Batch.AgeNanos))
		}
		p.u.watch(p.name)
	case op.Replace != nil:
		last := len(op.Replace.To) == 0
		if head, err := record.DecodeFeedHead(op.Replace.Target); err == nil && last {
			p.f.routes.applied(p.name, head.Position)
		}
		p.chunked(last)
	}
}

// waits tells the watchdog that there is nothing to wait for in a channel: what is to come is none of its records.
func (p *puller) waits() {
	_, applied := p.f.routes.positions(p.name)
	p.u.link.Progress(p.name.String(), applied.Sequence, applied.Sequence)
}

// chunked tells the watchdog that a chunk of a snapshot was applied. The position of the channel moves with the last one.
func (p *puller) chunked(last bool) {
	p.waits()
	p.f.routes.moves(p.name)
	p.chunks++
	more := p.chunks + 1
	if last {
		more = p.chunks
	}
	p.u.link.Progress(p.name.String()+"/snapshot", more, p.chunks)
}

// answered notes how long an answer took that was asked for with a stamp. The first that carries the stamp tells.
func (p *puller) answered(stamp int64) {
	if stamp == p.answer || stamp <= p.asked {
		return
	}
	p.answer = stamp
	if took := time.Duration(p.f.ages.stamp() - stamp); took > slowFactor*p.u.link.Status().Stats.RTT+slowMargin {
		p.u.mu.Lock()
		p.u.late[p.name] = time.Now()
		p.u.mu.Unlock()
	}
}
