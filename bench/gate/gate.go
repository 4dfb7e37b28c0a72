package gate

import (
	"fmt"
	"slices"

	"supercluster/bench/measure"
)

// Want is what a rule asks of its row.
type Want int

const (
	// Present asks that the row is there, whatever its figure.
	Present Want = iota
	// Some asks for a figure above zero, of the peer too where the row names one: a load that did nothing is no load.
	Some
	// Exactly asks for a count, of the peer too where the row names one.
	Exactly
	// Ahead asks that ours is better than the peer.
	Ahead
)

// Rule asks something of the row with a name and a unit.
type Rule struct {
	Row, Unit string
	Want      Want
	Count     float64 // of Exactly
	Always    bool    // holds for a run without a gate too
}

// Breach is a rule that the rows do not keep.
type Breach struct {
	Rule Rule
	Why  string
}

func (b Breach) Error() string { return fmt.Sprintf("%s (%s): %s", b.Rule.Row, b.Rule.Unit, b.Why) }

// Order reports whether what is wrong is who is ahead, which a busy machine can turn for once; a count it cannot.
func (b Breach) Order() bool { return b.Rule.Want == Ahead }

// Judge gives the rules that the rows do not keep, in the order of the rules.
func Judge(rules []Rule, rows []measure.Row) []Breach {
	var broken []Breach
	for _, rule := range rules {
		if why := rule.missedBy(rows); why != "" {
			broken = append(broken, Breach{rule, why})
		}
	}
	return broken
}

// Second gives what stays broken when all was measured a second time: every count that is wrong, and an order that was lost
// both times.
func Second(first, again []Breach) []Breach {
	return slices.DeleteFunc(slices.Clone(again), func(b Breach) bool {
		lostBefore := slices.ContainsFunc(first, func(f Breach) bool { return f.Rule == b.Rule })
		return b.Order() && !lostBefore
	})
}

// missedBy says how the rows miss the rule, or nothing.
func (r Rule) missedBy(rows []measure.Row) string {
	i := slices.IndexFunc(rows, func(row measure.Row) bool { return row.Name == r.Row && row.Unit == r.Unit })
	if i < 0 {
		return "there is no such row"
	}
	row := rows[i]
	switch {
	case r.Want == Some && row.Ours <= 0:
		return "ours shows nothing"
	case r.Want == Some && row.PeerName != "" && row.Peer <= 0:
		return row.PeerName + " shows nothing"
	case r.Want == Exactly && row.Ours != r.Count:
		return fmt.Sprintf("ours is %g, must be %g", row.Ours, r.Count)
	case r.Want == Exactly && row.PeerName != "" && row.Peer != r.Count:
		return fmt.Sprintf("%s is %g, must be %g", row.PeerName, row.Peer, r.Count)
	case r.Want == Ahead && row.Ratio <= 1:
		return fmt.Sprintf("ours is not ahead of %s: %.4g against %.4g, ratio %.2f", row.PeerName, row.Ours, row.Peer, row.Ratio)
	}
	return ""
}
