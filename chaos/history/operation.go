package history

import (
	"fmt"
	"math"
)

// Operation is an invoke with its end.
type Operation struct {
	ID      uint64
	Client  int
	Region  string
	Node    string
	Life    int // of the region, from 0
	Call    Call
	Answer  Answer // of OK
	Outcome Type   // OK, Fail or Unknown
	Invoked int64
	Ended   int64 // never, for Unknown
}

// Never is the end of an operation whose outcome is not known.
const Never = math.MaxInt64

// Operations pairs the lines of operations, in the order of their invokes.
func Operations(lines []Line) ([]Operation, error) {
	var all []Operation
	open := map[uint64]int{}
	lives := map[string]int{}
	for n := range lines {
		l := &lines[n]
		switch l.Type {
		case Lived:
			if l.Life != nil && !l.Life.Healed {
				lives[l.Region]++
			}
		case Invoke:
			if _, twice := open[l.ID]; twice || l.Call == nil {
				return nil, fmt.Errorf("line %d: operation %d is invoked twice, or asks nothing", n+1, l.ID)
			}
			open[l.ID] = len(all)
			all = append(all, Operation{
				ID: l.ID, Client: l.Client, Region: l.Region, Node: l.Node, Life: lives[l.Region], Call: *l.Call, Outcome: Unknown, Invoked: l.At, Ended: Never,
			})
		case OK, Fail, Unknown:
			i, found := open[l.ID]
			if !found || i < 0 {
				return nil, fmt.Errorf("line %d: operation %d ends without an invoke, or twice", n+1, l.ID)
			}
			open[l.ID] = -1
			if err := end(&all[i], l); err != nil {
				return nil, fmt.Errorf("line %d: %w", n+1, err)
			}
		}
	}
	return all, nil
}

func end(op *Operation, l *Line) error {
	op.Outcome = l.Type
	if l.Type == Unknown {
		return nil
	}
	op.Ended = l.At
	if l.Type == Fail {
		return nil
	}
	if l.Answer == nil {
		return fmt.Errorf("operation %d has no answer", l.ID)
	}
	op.Answer = *l.Answer
	if l.Node != "" {
		op.Node = l.Node
	}
	gets := 0
	for _, s := range op.Call.Steps {
		if s.Do == DoGet {
			gets++
		}
	}
	if !op.Answer.Refused && gets != len(op.Answer.Values) {
		return fmt.Errorf("operation %d has %d values for %d gets", l.ID, len(op.Answer.Values), gets)
	}
	return nil
}

// MarkedAt finds when a mark was set first.
func MarkedAt(lines []Line, mark string) (int64, bool) {
	for i := range lines {
		if lines[i].Type == Marked && lines[i].Text == mark {
			return lines[i].At, true
		}
	}
	return 0, false
}
