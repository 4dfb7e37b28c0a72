package check

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/anishathalye/porcupine"

	"supercluster/chaos/history"
)

// Linearizable judges what the clients of one region asked: is there an order in which every answer is right. Keys that
// one call touches are judged together, all others apart. Reads of other regions' records are left out: they may be old.
func Linearizable(ops []history.Operation, region string, limit time.Duration) Result {
	r := Result{Name: "linearizable " + region}
	parts := groups(judged(ops, region))
	deadline := time.Now().Add(limit)
	model := Model()
	for _, part := range parts {
		r.Examined += len(part)
		switch porcupine.CheckOperationsTimeout(model, part, max(time.Until(deadline), time.Millisecond)) {
		case porcupine.Illegal:
			r.violated("%d operations on %v have no order that explains every answer%s", len(part), keysOf(part), shortest(model, part))
		case porcupine.Unknown:
			r.Undecided = fmt.Sprintf("no answer within %v", limit)
		}
	}
	return r.decide()
}

// shortest tells the operation without which the history up to it would be right: the first answer that is wrong.
func shortest(model porcupine.Model, part []porcupine.Operation) string {
	slices.SortFunc(part, func(a, b porcupine.Operation) int { return cmp.Compare(a.Return, b.Return) })
	low, high := 0, len(part)
	for low < high {
		mid := (low + high) / 2
		if porcupine.CheckOperationsTimeout(model, before(part, mid+1), 2*time.Second) == porcupine.Ok {
			low = mid + 1
		} else {
			high = mid
		}
	}
	if low == len(part) {
		return ""
	}
	return ": first " + model.DescribeOperation(part[low].Input, part[low].Output)
}

// before gives the first n ends, and what had begun by then as if it had no end.
func before(part []porcupine.Operation, n int) []porcupine.Operation {
	all := slices.Clone(part[:n])
	last := all[n-1].Return
	for _, op := range part[n:] {
		if c := op.Input.(*history.Call); op.Call <= last && c.Writes() {
			op.Return, op.Output = history.Never, (*history.Answer)(nil)
			all = append(all, op)
		}
	}
	return all
}

// judged gives the operations of a region that belong into a linear order. What surely did not happen, and reads that
// nobody answered, say nothing.
func judged(ops []history.Operation, region string) (all []porcupine.Operation) {
	for i := range ops {
		op := &ops[i]
		if op.Region != region || op.Call.Source != "" || op.Outcome == history.Fail || op.Outcome == history.Unknown && !op.Call.Writes() {
			continue
		}
		var answer *history.Answer
		if op.Outcome == history.OK {
			answer = &op.Answer
		}
		all = append(all, porcupine.Operation{ClientId: op.Client, Input: &op.Call, Output: answer, Call: op.Invoked, Return: op.Ended})
	}
	return all
}

func touched(c *history.Call) (keys []string) {
	for _, e := range c.Compare {
		keys = append(keys, e.Key)
	}
	for _, s := range c.Steps {
		keys = append(keys, s.Key)
	}
	return keys
}

func keysOf(part []porcupine.Operation) []string {
	keys := map[string]bool{}
	for _, op := range part {
		for _, k := range touched(op.Input.(*history.Call)) {
			keys[k] = true
		}
	}
	return slices.Sorted(maps.Keys(keys))
}

// groups splits operations by keys that calls touch together.
func groups(ops []porcupine.Operation) [][]porcupine.Operation {
	parent := map[string]string{}
	var root func(k string) string
	root = func(k string) string {
		if p, ok := parent[k]; ok && p != k {
			parent[k] = root(p)
			return parent[k]
		}
		parent[k] = k
		return k
	}
	for _, op := range ops {
		keys := touched(op.Input.(*history.Call))
		for _, k := range keys {
			parent[root(k)] = root(keys[0])
		}
	}
	at := map[string]int{}
	var parts [][]porcupine.Operation
	for _, op := range ops {
		k := root(touched(op.Input.(*history.Call))[0])
		i, ok := at[k]
		if !ok {
			i = len(parts)
			at[k] = i
			parts = append(parts, nil)
		}
		parts[i] = append(parts[i], op)
	}
	return parts
}

// Model is a region: keys with values, changed and read by transactions.
func Model() porcupine.Model {
	return porcupine.Model{
		Init: func() any { return map[string]string{} },
		Step: func(state, input, output any) (bool, any) {
			return step(state.(map[string]string), input.(*history.Call), output.(*history.Answer))
		},
		Equal:             func(a, b any) bool { return maps.Equal(a.(map[string]string), b.(map[string]string)) },
		DescribeOperation: func(input, output any) string { return describe(input.(*history.Call), output.(*history.Answer)) },
	}
}

// step says whether a call with its answer fits a state, and the state after it. Without an answer anything fits.
func step(state map[string]string, c *history.Call, a *history.Answer) (bool, any) {
	holds := true
	for _, e := range c.Compare {
		holds = holds && state[e.Key] == e.Value
	}
	if a != nil && a.Refused == holds {
		return false, state
	}
	if !holds {
		return true, state
	}
	next, got := state, 0
	if c.Writes() {
		next = maps.Clone(state)
	}
	for _, s := range c.Steps {
		switch s.Do {
		case history.DoPut:
			next[s.Key] = s.Value
		case history.DoDelete:
			delete(next, s.Key)
		default:
			if a != nil && a.Values[got] != next[s.Key] {
				return false, state
			}
			got++
		}
	}
	return true, next
}

func describe(c *history.Call, a *history.Answer) string {
	text := fmt.Sprintf("%s if %v then %v", c.Kind, c.Compare, c.Steps)
	switch {
	case a == nil:
		return text + " = ?"
	case a.Refused:
		return text + " = refused"
	default:
		return fmt.Sprintf("%s = %q at %d", text, a.Values, a.Revision)
	}
}

// Revisions judges the revisions that writes of a region were answered: no two puts have the same, and a write that began
// after another was answered has a higher one. A delete of what is not there changes nothing: it is answered the revision
// that it saw. Each life of a region has revisions of its own.
func Revisions(ops []history.Operation, region string) Result {
	r := Result{Name: "revisions " + region}
	lives := map[int][]*history.Operation{}
	for i := range ops {
		if op := &ops[i]; op.Region == region && op.Outcome == history.OK && op.Call.Writes() && !op.Answer.Refused {
			lives[op.Life] = append(lives[op.Life], op)
		}
	}
	for _, life := range slices.Sorted(maps.Keys(lives)) {
		r.rising(lives[life])
	}
	return r.decide()
}

// rising judges the writes of one life of a region, in the order of their invokes.
func (r *Result) rising(writes []*history.Operation) {
	by := map[uint64]uint64{}
	for _, op := range writes {
		r.Examined++
		if len(puts(&op.Call)) > 0 {
			if other, twice := by[op.Answer.Revision]; twice || op.Answer.Revision == 0 {
				r.violated("operations %d and %d were both answered revision %d", other, op.ID, op.Answer.Revision)
			}
			by[op.Answer.Revision] = op.ID
		}
	}
	ended := slices.SortedFunc(slices.Values(writes), func(a, b *history.Operation) int { return cmp.Compare(a.Ended, b.Ended) })
	var highest uint64
	next := 0
	for _, op := range writes {
		for next < len(ended) && ended[next].Ended < op.Invoked {
			highest = max(highest, ended[next].Answer.Revision)
			next++
		}
		if op.Answer.Revision < highest || op.Answer.Revision == highest && len(puts(&op.Call)) > 0 {
			r.violated("operation %d has revision %d, but began after revision %d was answered", op.ID, op.Answer.Revision, highest)
		}
	}
}
