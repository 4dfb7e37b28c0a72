package history

import (
	"fmt"
	"math"
	"sync"
	"time"

	"github.com/anishathalye/porcupine"
)

// Kind is what a client asked.
type Kind uint8

// The kinds of operations on one register.
const (
	Put Kind = iota + 1
	Get
	CompareAndSwap
)

// Input is one request.
type Input struct {
	Kind     Kind
	Key      string
	Value    string
	Expected string // CompareAndSwap: the value the register must have
}

// Output is one answer.
type Output struct {
	Value   string // Get: what was read, "" when missing
	Swapped bool   // CompareAndSwap
	Unknown bool   // the outcome of the write is not known
}

// Recorder keeps operations in memory.
type Recorder struct {
	mu    sync.Mutex
	begin time.Time
	ops   []porcupine.Operation
}

// NewRecorder starts a history now.
func NewRecorder() *Recorder { return &Recorder{begin: time.Now()} }

// Now is the time in the history.
func (r *Recorder) Now() int64 { return int64(time.Since(r.begin)) }

// Add records one operation of one client. An unknown write never returns.
func (r *Recorder) Add(client int, in Input, out Output, call, ret int64) {
	if out.Unknown {
		ret = math.MaxInt64
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.ops = append(r.ops, porcupine.Operation{ClientId: client, Input: in, Output: out, Call: call, Return: ret})
}

// Len is the number of recorded operations.
func (r *Recorder) Len() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return len(r.ops)
}

// Check judges the history; it gives up after limit.
func (r *Recorder) Check(limit time.Duration) (porcupine.CheckResult, porcupine.LinearizationInfo) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return porcupine.CheckOperationsVerbose(Model(), r.ops, limit)
}

// Model is a set of registers, checked one by one.
func Model() porcupine.Model {
	return porcupine.Model{
		Partition: partition,
		Init:      func() any { return "" },
		Step: func(state, input, output any) (bool, any) {
			return step(state.(string), input.(Input), output.(Output))
		},
		DescribeOperation: func(input, output any) string { return describe(input.(Input), output.(Output)) },
	}
}

// partition splits a history by key.
func partition(ops []porcupine.Operation) [][]porcupine.Operation {
	byKey := map[string]int{}
	var parts [][]porcupine.Operation
	for _, op := range ops {
		key := op.Input.(Input).Key
		i, ok := byKey[key]
		if !ok {
			i = len(parts)
			byKey[key] = i
			parts = append(parts, nil)
		}
		parts[i] = append(parts[i], op)
	}
	return parts
}

// step says whether an operation fits a state, and the state after it. An unknown compare-and-swap that does not
// find its value changes nothing and fits.
func step(state string, in Input, out Output) (bool, any) {
	switch in.Kind {
	case Get:
		return out.Value == state, state
	case Put:
		return true, in.Value
	default:
		matches := state == in.Expected
		switch {
		case out.Unknown && matches:
			return true, in.Value
		case out.Unknown:
			return true, state
		case out.Swapped:
			return matches, in.Value
		default:
			return !matches, state
		}
	}
}

func describe(in Input, out Output) string {
	unknown := ""
	if out.Unknown {
		unknown = " ?"
	}
	switch in.Kind {
	case Get:
		return fmt.Sprintf("get(%s) = %q", in.Key, out.Value)
	case Put:
		return fmt.Sprintf("put(%s, %q)%s", in.Key, in.Value, unknown)
	default:
		return fmt.Sprintf("cas(%s, %q -> %q) = %v%s", in.Key, in.Expected, in.Value, out.Swapped, unknown)
	}
}

// Operations gives a copy of what was recorded.
func (r *Recorder) Operations() []porcupine.Operation {
	r.mu.Lock()
	defer r.mu.Unlock()
	return append([]porcupine.Operation(nil), r.ops...)
}
