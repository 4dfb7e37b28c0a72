package federation

import (
	"context"
	"encoding/binary"
	"maps"
	"sync"
	"sync/atomic"
	"time"

	"supercluster/internal/fault"
	"supercluster/region/record"
	"supercluster/region/state"
)

// MethodAges is the method of the node channel by which the other nodes ask the leader how old what the region has of others
// is.
const MethodAges uint8 = 6

// spreadEvery is how often what the leader knows goes to the other nodes.
const spreadEvery = 500 * time.Millisecond

// headEvery is how often an idle head is written to the store although nothing but the revision moved.
const headEvery = 10 * time.Second

// ages knows how old what the region has of each channel is, by this node's own clock: a receiver stamps what it asks, and
// the answer says that the head was the newest when it was asked, or so long before.
type ages struct {
	began time.Time

	mu      sync.RWMutex
	fresh   map[channelName]time.Time // when the channel was last known not to be behind
	heads   map[channelName]coveredHead
	written map[channelName]writtenHead
	moved   chan struct{} // closed when heads change

	// regions is what snapshot gives until fresh changes; nil: it is to be made.
	regions atomic.Pointer[regionAges]
}

// coveredHead says that everything of the home up to a revision is in the channel at a position. Idle heads are written
// to the store seldom, so it is noted here.
type coveredHead struct{ incarnation, sequence, revision uint64 }

type writtenHead struct {
	at       time.Time
	revision uint64
}

func newAges() *ages {
	return &ages{
		began: time.Now(), fresh: map[channelName]time.Time{}, heads: map[channelName]coveredHead{},
		written: map[channelName]writtenHead{}, moved: make(chan struct{}),
	}
}

// stamp is this node's time as it travels.
func (a *ages) stamp() int64 { return int64(time.Since(a.began)) }

// note takes in an answer: when stamp was made, the channel as it is here was so old.
func (a *ages) note(name channelName, stamp int64, age time.Duration) {
	// Nobody can make it fresher than it may be: a stamp is never of the future, nor an age below nothing.
	at := a.began.Add(time.Duration(min(stamp, a.stamp()))).Add(-max(age, 0))
	a.mu.Lock()
	defer a.mu.Unlock()
	if at.After(a.fresh[name]) {
		a.fresh[name] = at
		a.regions.Store(nil)
	}
}

// expect counts channels that are offered together, so that a region has no age before each of its channels was answered
// for: after a start some are new again before others.
func (a *ages) expect(names ...channelName) {
	a.mu.Lock()
	defer a.mu.Unlock()
	for _, name := range names {
		if _, known := a.fresh[name]; !known {
			a.fresh[name] = a.began.Add(-neverHeard)
			a.regions.Store(nil)
		}
	}
}

// forget takes channels out of the ages of their regions.
func (a *ages) forget(which func(channelName) bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	maps.DeleteFunc(a.fresh, func(name channelName, _ time.Time) bool { return which(name) })
	a.regions.Store(nil)
}

// neverHeard is the age of a channel that nobody answered for.
const neverHeard = 24 * 365 * time.Hour

// of gives the age of a channel.
func (a *ages) of(name channelName) time.Duration {
	a.mu.RLock()
	defer a.mu.RUnlock()
	if at, ok := a.fresh[name]; ok {
		return max(time.Since(at), 0)
	}
	return neverHeard
}

// region gives the age of the oldest channel of a region; false: nothing was heard of it, or not yet of each channel.
func (a *ages) region(id [16]byte) (time.Duration, bool) {
	return a.snapshot().of(id)
}

// regionAges says of each region when its oldest channel was last known not to be behind, as it was known at one moment.
type regionAges struct {
	at map[[16]byte]time.Time
	// age is the method of, made once: reads that ask for it allocate nothing.
	age func(region [16]byte) (time.Duration, bool)
}

// of gives the age that this means now.
func (r *regionAges) of(region [16]byte) (time.Duration, bool) {
	at, known := r.at[region]
	if age := time.Since(at); known && age < neverHeard {
		return max(age, 0), true
	}
	return 0, false
}

// snapshot gives what region answers from. It is made again only when something changed.
func (a *ages) snapshot() *regionAges {
	if s := a.regions.Load(); s != nil {
		return s
	}
	a.mu.RLock()
	defer a.mu.RUnlock()
	s := &regionAges{at: map[[16]byte]time.Time{}}
	for name, at := range a.fresh {
		if oldest, known := s.at[name.region]; !known || at.Before(oldest) {
			s.at[name.region] = at
		}
	}
	s.age = s.of
	a.regions.Store(s) // under the lock: whoever changes what it is made of comes later and takes it back
	return s
}

// newest gives when, by this node's stamps, the freshest channel of a region was known not to be behind; false: nothing was
// heard of it.
func (a *ages) newest(id [16]byte) (time.Duration, bool) {
	a.mu.RLock()
	defer a.mu.RUnlock()
	var newest time.Time
	for name, at := range a.fresh {
		if name.region == id && at.After(newest) {
			newest = at
		}
	}
	return newest.Sub(a.began), newest.After(a.began.Add(-neverHeard))
}

// cover takes in a head that the channel is at.
func (a *ages) cover(name channelName, h coveredHead) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.coverLocked(name, h)
}

func (a *ages) coverLocked(name channelName, h coveredHead) {
	if old := a.heads[name]; h.incarnation < old.incarnation || h.incarnation == old.incarnation && h.revision <= old.revision {
		return
	}
	a.heads[name] = h
	close(a.moved)
	a.moved = make(chan struct{})
}

// revision gives the revision of the home up to which everything is in the channel at a position; 0 when nobody said.
func (a *ages) revision(name channelName, at record.FeedPosition) uint64 {
	a.mu.RLock()
	defer a.mu.RUnlock()
	if h := a.heads[name]; h.incarnation == at.Incarnation && h.sequence <= at.Sequence {
		return h.revision
	}
	return 0
}

// heard gives a channel that is closed when a head is taken in.
func (a *ages) heard() <-chan struct{} {
	a.mu.RLock()
	defer a.mu.RUnlock()
	return a.moved
}

// worthWriting reports whether an idle head should be written: the home's revision moved, and the last such was a while
// ago.
func (a *ages) worthWriting(name channelName, encoded []byte) bool {
	head, err := record.DecodeFeedHead(encoded)
	if err != nil {
		return false
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	last := a.written[name]
	if head.Revision == last.revision || time.Since(last.at) < headEvery {
		return false
	}
	a.written[name] = writtenHead{at: time.Now(), revision: head.Revision}
	return true
}

// encode gives the ages as they are now.
func (a *ages) encode() []byte {
	a.mu.RLock()
	defer a.mu.RUnlock()
	var b []byte
	for name, at := range a.fresh {
		b = append(b, name.region[:]...)
		b = binary.AppendUvarint(b, uint64(name.channel))
		b = binary.AppendUvarint(b, uint64(max(time.Since(at), 0)))
		h := a.heads[name]
		for _, n := range []uint64{h.incarnation, h.sequence, h.revision} {
			b = binary.AppendUvarint(b, n)
		}
	}
	return b
}

// merge takes in the ages of the leader, who was asked at a time of this node: what was so old when it answered is counted
// from then on, so the way here never makes it fresher. Channels of a region that the leader does not count are not counted
// here either.
func (a *ages) merge(b []byte, asked time.Time) error {
	told, err := decodeAges(b)
	if err != nil {
		return err
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	listed, regions := map[channelName]bool{}, map[[16]byte]bool{}
	for _, t := range told {
		listed[t.name], regions[t.name.region] = true, true
		if at := asked.Add(-t.age); at.After(a.fresh[t.name]) {
			a.fresh[t.name] = at
		}
		if t.head.revision > 0 {
			a.coverLocked(t.name, t.head)
		}
	}
	maps.DeleteFunc(a.fresh, func(name channelName, _ time.Time) bool { return regions[name.region] && !listed[name] })
	a.regions.Store(nil)
	return nil
}

// toldAge is what the leader says of one channel.
type toldAge struct {
	name channelName
	age  time.Duration
	head coveredHead
}

func decodeAges(b []byte) (told []toldAge, err error) {
	for r := (ageReader{b: b}); len(r.b) > 0; {
		t := toldAge{name: r.name(), age: time.Duration(r.number())}
		t.head = coveredHead{incarnation: r.number(), sequence: r.number(), revision: r.number()}
		if r.short || t.age < 0 {
			return nil, fault.New(fault.Invalid, "what a node says of ages is cut off or broken")
		}
		told = append(told, t)
	}
	return told, nil
}

// ageReader reads what encode wrote.
type ageReader struct {
	b     []byte
	short bool
}

func (r *ageReader) name() (name channelName) {
	n := copy(name.region[:], r.b)
	r.short = r.short || n < len(name.region)
	r.b = r.b[n:]
	name.channel = uint32(r.number())
	return name
}

func (r *ageReader) number() uint64 {
	v, n := binary.Uvarint(r.b)
	if n <= 0 {
		r.short, r.b = true, nil
		return 0
	}
	r.b = r.b[n:]
	return v
}

// learnAges asks the leader again and again, while another node leads.
func (f *Federation) learnAges(ctx context.Context) error {
	for pause(ctx, spreadEvery) {
		leader := f.cfg.Store.Leader()
		if leader == "" || leader == f.cfg.Node {
			continue
		}
		if err := f.askAges(ctx, leader); err != nil && ctx.Err() == nil {
			f.log.Debug("the leader did not say how old what is here of others is", "leader", leader, "error", err)
		}
	}
	return nil
}

// agesWithin is how long the leader may take to answer, and this node to have what the leader had.
const agesWithin = 2 * time.Second

// askAges asks the leader once. What it answers holds from when it was asked.
func (f *Federation) askAges(ctx context.Context, leader string) error {
	ctx, cancel := context.WithTimeout(ctx, agesWithin)
	defer cancel()
	asked := time.Now()
	payload, err := f.cfg.Store.Call(ctx, leader, MethodAges, nil)
	if err != nil {
		return err
	}
	return f.takeAges(ctx, payload, asked)
}

// takeAges takes in what the leader answered, once this node has what the leader had: a node that is behind would call its old
// copies fresh.
func (f *Federation) takeAges(ctx context.Context, payload []byte, asked time.Time) error {
	n := len(payload) - positionBytes
	if n < 0 {
		return nil // nothing is known of others
	}
	need := record.Positions{System: binary.BigEndian.Uint64(payload[n:]), Data: binary.BigEndian.Uint64(payload[n+8:])}
	if err := f.untilCovered(ctx, need); err != nil {
		return err
	}
	return f.ages.merge(payload[:n], asked)
}

// untilCovered waits until this node has what was there at positions.
func (f *Federation) untilCovered(ctx context.Context, need record.Positions) error {
	for {
		changed := f.cfg.Store.Changed()
		at, err := f.positions()
		if err != nil {
			return err
		}
		if at.Covers(need) {
			return nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// positionBytes is the size of the positions at the end of what the leader tells.
const positionBytes = 16

// encodeAges gives the ages, and the positions of this node's rows after they were noted: the ages hold for rows that are
// there.
func (f *Federation) encodeAges() ([]byte, error) {
	payload := f.ages.encode()
	if len(payload) == 0 {
		return nil, nil
	}
	at, err := f.positions()
	payload = binary.BigEndian.AppendUint64(payload, at.System)
	return binary.BigEndian.AppendUint64(payload, at.Data), err
}

// positions gives those of the rows as they are now.
func (f *Federation) positions() (at record.Positions, err error) {
	err = f.pinned(func(r state.Reader) (err error) {
		at, err = state.PositionsOf(r)
		return err
	})
	return at, err
}

// HandleAges says how old what is here of others is.
func (f *Federation) HandleAges(context.Context, string, []byte) ([]byte, error) {
	return f.encodeAges()
}

// ageOf gives the age of a channel as this region may pass it on; its own is as new as can be, since a probe is taken in
// only when this node knows that it is not behind.
func (f *Federation) ageOf(name channelName) time.Duration {
	if name.region == f.cfg.Identity.RegionID {
		return 0
	}
	return f.ages.of(name)
}

// Age says how old what this region has of another is; false: nothing was ever heard of it, or it is no peer.
func (f *Federation) Age(region [16]byte) (time.Duration, bool) { return f.ages.region(region) }

// Ages is for a read: asked for before it, it says afterwards how old at most what the read shows of a region is. What is heard
// of a region while the read goes on makes no older copy fresh.
func (f *Federation) Ages() func(region [16]byte) (time.Duration, bool) { return f.ages.snapshot().age }
