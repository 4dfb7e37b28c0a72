package federation

import (
	"context"
	"math/rand/v2"
	"time"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	pb "supercluster/api/gen/supercluster/v1"
	"supercluster/internal/fault"
)

// How regions are asked. A probe takes two round trips, so it must not be given up before those of the farthest region.
const (
	probeEvery   = 500 * time.Millisecond
	probeWithin  = time.Second
	probesAtOnce = 3 // listeners of a region that are asked at once; the next time others are
	askEvery     = time.Second
	askWithin    = 2 * time.Second
)

// probe asks the probe listeners of a region again and again, until ctx ends.
func (r *reach) probe(ctx context.Context, id [16]byte) {
	if r.f.cfg.Probe == nil {
		return
	}
	for n := 0; ; n++ {
		began := time.Now()
		if p := r.f.book.find(id); p != nil {
			r.probeOnce(ctx, id, turn(p.doc.GetProbeAddresses(), n))
		}
		if !pause(ctx, jittered(probeEvery)-time.Since(began)) {
			return
		}
	}
}

// jittered is up to a tenth more or less, so that regions do not ask in step.
func jittered(d time.Duration) time.Duration { return d - d/10 + rand.N(d/5) }

// turn picks the listeners that are asked the n-th time.
func turn(all []string, n int) []string {
	if len(all) <= probesAtOnce {
		return all
	}
	var some []string
	for i := range probesAtOnce {
		some = append(some, all[(n*probesAtOnce+i)%len(all)])
	}
	return some
}

// probeOnce asks listeners at once and takes the first answer.
func (r *reach) probeOnce(ctx context.Context, id [16]byte, addresses []string) {
	asking, cancel := context.WithTimeout(ctx, probeWithin)
	defer cancel()
	at, answered, failure := r.stamp(), false, "it names no probe listener"
	type answer struct {
		roundTrip time.Duration
		err       error
	}
	answers := make(chan answer, len(addresses))
	for _, address := range addresses {
		go func() {
			trip, err := r.f.cfg.Probe(asking, address)
			answers <- answer{trip, err}
		}()
	}
	for range addresses {
		switch a := <-answers; {
		case answered: // by another one
		case a.err != nil:
			failure = a.err.Error()
		default:
			answered, failure = true, ""
			r.note(func() { r.machine.Probed(id, at, a.roundTrip) })
			r.isBack(id)
			cancel() // the others are not needed, and end now
		}
	}
	if ctx.Err() == nil { // what ended with this node's lead says nothing
		r.note(func() { r.failures[id] = failure })
	}
}

// isBack has the link to a region tried at once when the region answers after it did not: its pauses have grown meanwhile.
func (r *reach) isBack(id [16]byte) {
	r.mu.Lock()
	was := r.failures[id]
	r.mu.Unlock()
	if was == "" {
		return
	}
	r.f.mu.Lock()
	u := r.f.uplinks[id]
	r.f.mu.Unlock()
	if u != nil && u.ended() {
		u.link.Anew()
	}
}

func (r *reach) note(do func()) {
	r.mu.Lock()
	defer r.mu.Unlock()
	do()
}

// ask asks a region on the own link which others it reaches, again and again, until ctx ends.
func (r *reach) ask(ctx context.Context, id [16]byte) {
	for {
		r.askOnce(ctx, id)
		if !pause(ctx, jittered(askEvery)) {
			return
		}
	}
}

func (r *reach) askOnce(ctx context.Context, id [16]byte) {
	ctx, cancel := context.WithTimeout(ctx, askWithin)
	defer cancel()
	at, asked := r.stamp(), r.f.cfg.Now()
	body, err := r.f.ask(ctx, id, callReach)
	heard, answered := r.stamp(), r.f.cfg.Now()
	if err != nil && !fault.Is(err, fault.Unsupported) {
		return
	}
	row := &pb.ReachRow{}
	if err == nil && proto.Unmarshal(body, row) != nil {
		return
	}
	r.note(func() {
		r.machine.Heard(id, at, heard-at)
		if err == nil { // else it is of an earlier version, which says nothing of others
			r.machine.Told(id, at-max(row.GetAge().AsDuration(), 0), seenOf(row))
			r.clocks.ofRegion(id, asked, answered, row.GetClock())
		}
	})
}

// answerReach says which regions this one reaches.
func (f *Federation) answerReach() ([]byte, error) {
	r := f.reach
	r.mu.Lock()
	seen, at := r.machine.Row()
	r.mu.Unlock()
	row := rowMessage(seen, max(r.stamp()-at, 0), f.book.name)
	row.Clock = timestamppb.New(f.cfg.Now())
	return marshal(row)
}
