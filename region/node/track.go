package node

import "sync"

// The tracks of a grouper. Operations that may share an entry wait for each other, since a group costs the same whatever is in
// it. A small one that goes alone makes no group larger by waiting: it goes beside those on their way, and they beside it. So
// what comes from another region in one channel waits neither for another channel nor for local writers, nor these for it. A
// large one is part of catching up: it takes its turn with the groups, and they have the log and the disk to themselves
// between two of them (ADR 0017).
const (
	shared = iota
	beside
	tracks
)

const (
	// besideDepth is how many operations may go beside each other: a region with two others has four channels that are busy.
	// The owner of a channel gives the next operation when the one before is answered.
	besideDepth = 4
	// besideBytes bounds them: half of a full batch of records, like the bound from which federation makes pauses.
	besideBytes = 16 << 10
)

// track is a queue and the slots that carry what is in it. It belongs to grouper.mu.
type track struct {
	queue fifo
	turns []*sync.Cond // what its slots wait for: a group for them, or the end of everything
	busy  int          // slots with a group
}

// trackOf says where an operation queues.
func (g *grouper) trackOf(p *pending) *track {
	if p.op.Alone() && p.size <= besideBytes {
		return &g.tracks[beside]
	}
	return &g.tracks[shared]
}

// makeTracks makes the tracks and their slots. Those of operations that share wake one by one, so that few writers have the
// first slot to themselves; of the others any will do.
func (g *grouper) makeTracks(depth int) {
	for range depth {
		g.addSlot(&g.tracks[shared], sync.NewCond(&g.mu))
	}
	turn := sync.NewCond(&g.mu)
	for range besideDepth {
		g.addSlot(&g.tracks[beside], turn)
	}
}

func (g *grouper) addSlot(t *track, turn *sync.Cond) {
	t.turns = append(t.turns, turn)
	g.slots = append(g.slots, &slot{g: g, track: t, turn: turn, wake: make(chan struct{}, 1)})
}

// mayBegin reports whether a slot may make a group of what waits on a track, or gather more for it.
func (g *grouper) mayBegin(t *track) bool {
	if t == &g.tracks[beside] {
		return t.queue.len() > 0 && !g.held && !g.windowFull()
	}
	return t.queue.len() >= g.least() && !g.held && g.gather.turn == nil && !g.windowFull()
}

// least is how many operations that share a group one needs that begins now.
func (g *grouper) least() int {
	if g.tracks[shared].busy == 0 {
		return 1
	}
	return g.enough
}

// nudge wakes the slots that can do something about what waits, if there are any. Few writers wake the first slot alone.
func (g *grouper) nudge() {
	t := &g.tracks[shared]
	switch n := t.queue.len(); {
	case g.gather.turn != nil:
		if n >= g.gather.want {
			g.gather.turn.Signal()
		}
	case n < g.least():
	case t.busy == 0:
		t.turns[0].Signal()
	default:
		t.nudge() // those with a group do not listen
	}
	if t := &g.tracks[beside]; g.mayBegin(t) {
		t.turns[0].Signal() // any of them
	}
}

// nudge wakes all slots of a track.
func (t *track) nudge() {
	for _, turn := range t.turns {
		turn.Signal()
	}
}

func (g *grouper) nudgeAll() {
	for i := range g.tracks {
		g.tracks[i].nudge()
	}
}
