package crashfs

import (
	"cmp"
	"math/rand/v2"
	"slices"
)

// Keep is what a power loss leaves of what was not synced.
type Keep int

const (
	// Nothing: what was synced is all that is left.
	Nothing Keep = iota
	// InOrder: what was done before some moment is left too, and a part of the write of that moment.
	InOrder
	// Each: a beginning is left of what was done to each file and each folder, of each another one.
	Each
)

// piece is one change that is not durable.
type piece struct {
	turn uint64
	size int // of a write
}

type pieceful interface{ piece() piece }

func (w write) piece() piece { return piece{w.turn, len(w.bytes)} }

func (c change) piece() piece { return piece{turn: c.turn} }

func piecesOf[T pieceful](pending []T) []piece {
	all := make([]piece, len(pending))
	for i := range pending {
		all[i] = pending[i].piece()
	}
	return all
}

// choice is what is kept in one power loss.
type choice struct {
	keep   Keep
	random *rand.Rand
	moment piece // InOrder: the first change that is not left whole, and how much of it is
}

// choose draws a choice, never one that keeps everything: where there is something to lose, a power loss takes some of it.
func choose(keep Keep, random *rand.Rand, all []piece) *choice {
	c := &choice{keep: keep, random: random}
	if keep != InOrder || len(all) == 0 {
		return c
	}
	slices.SortFunc(all, func(a, b piece) int { return cmp.Compare(a.turn, b.turn) })
	sum := 0
	for _, p := range all {
		sum += p.size + 1
	}
	left := random.IntN(sum)
	for _, p := range all {
		if left <= p.size {
			c.moment = piece{p.turn, min(left, max(p.size-1, 0))}
			return c
		}
		left -= p.size + 1
	}
	return c
}

// of gives how many changes of one file or folder are left whole, and how much of the next one is.
func (c *choice) of(all []piece) (whole, torn int) {
	switch {
	case len(all) == 0 || c.keep == Nothing:
	case c.keep == Each:
		whole = c.random.IntN(len(all))
		torn = c.random.IntN(max(all[whole].size, 1))
	default:
		for whole < len(all) && all[whole].turn < c.moment.turn {
			whole++
		}
		if whole < len(all) && all[whole].turn == c.moment.turn {
			torn = c.moment.size
		}
	}
	return whole, torn
}
