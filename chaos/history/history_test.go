package history

import (
	"testing"
	"time"

	"github.com/anishathalye/porcupine"
)

func put(key, value string) (Input, Output) {
	return Input{Kind: Put, Key: key, Value: value}, Output{}
}

func get(key, value string) (Input, Output) { return Input{Kind: Get, Key: key}, Output{Value: value} }

// The checker must be able to refuse: histories that are right and histories that are not.
func TestCheck(t *testing.T) {
	type op struct {
		in        Input
		out       Output
		call, ret int64
	}
	one := func(in Input, out Output) func(call, ret int64) op {
		return func(call, ret int64) op { return op{in, out, call, ret} }
	}
	unknown := func(in Input, _ Output) op { return op{in, Output{Unknown: true}, 1, 2} }
	cas := func(expected, value string, swapped bool) (Input, Output) {
		return Input{Kind: CompareAndSwap, Key: "a", Expected: expected, Value: value}, Output{Swapped: swapped}
	}
	tests := []struct {
		name string
		ops  []op
		want porcupine.CheckResult
	}{
		{"read your write", []op{one(put("a", "1"))(1, 2), one(get("a", "1"))(3, 4)}, porcupine.Ok},
		{"stale read", []op{one(put("a", "1"))(1, 2), one(put("a", "2"))(3, 4), one(get("a", "1"))(5, 6)}, porcupine.Illegal},
		{"lost write", []op{one(put("a", "1"))(1, 2), one(get("a", ""))(3, 4)}, porcupine.Illegal},
		{"concurrent", []op{one(put("a", "1"))(1, 10), one(put("a", "2"))(1, 10), one(get("a", "1"))(11, 12)}, porcupine.Ok},
		{"keys are apart", []op{one(put("a", "1"))(1, 2), one(get("b", ""))(3, 4)}, porcupine.Ok},
		{"unknown write seen late", []op{unknown(put("a", "1")), one(get("a", ""))(3, 4), one(get("a", "1"))(5, 6)}, porcupine.Ok},
		{"unknown write undone", []op{unknown(put("a", "1")), one(get("a", "1"))(3, 4), one(get("a", ""))(5, 6)}, porcupine.Illegal},
		{"two swaps of one value", []op{one(put("a", "1"))(1, 2), one(cas("1", "2", true))(3, 6), one(cas("1", "3", true))(3, 6)}, porcupine.Illegal},
		{"one swap wins", []op{one(put("a", "1"))(1, 2), one(cas("1", "2", true))(3, 6), one(cas("1", "3", false))(3, 6)}, porcupine.Ok},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			r := NewRecorder()
			for i, o := range tt.ops {
				r.Add(i, o.in, o.out, o.call, o.ret)
			}
			if got, _ := r.Check(10 * time.Second); got != tt.want {
				t.Errorf("Check = %v, want %v", got, tt.want)
			}
		})
	}
}
