package check

import (
	"time"

	"supercluster/chaos/history"
)

// sourceView is what is known of the writes of one region.
type sourceView struct {
	byKey map[string][]made
	acked map[at]*history.Operation
}

// Staleness judges the lookups of other regions' records: each declares its age, or that it is not known, and shows no
// value that had been replaced, with an acknowledgement, longer ago than that.
func Staleness(lines []history.Line, ops []history.Operation, slack time.Duration) Result {
	r := Result{Name: "staleness declared"}
	writes := map[string]int64{} // when each value was written
	sources := map[string]*sourceView{}
	for i := range ops {
		for key, value := range puts(&ops[i].Call) {
			writes[key+"\x00"+value] = ops[i].Invoked
		}
	}
	for i := range ops {
		op := &ops[i]
		if op.Call.Source == "" || op.Outcome != history.OK {
			continue
		}
		s := sources[op.Call.Source]
		if s == nil {
			byKey, _ := own(lines, op.Call.Source)
			s = &sourceView{byKey, answered(ops, op.Call.Source)}
			sources[op.Call.Source] = s
		}
		r.Examined++
		if op.Answer.Age == nil && !op.Answer.AgeUnknown {
			r.violated("lookup %d of %s in %s declares no age", op.ID, op.Call.Source, op.Region)
			continue
		}
		for n, step := range op.Call.Steps {
			s.judge(&r, op, step.Key, op.Answer.Values[n], writes, slack)
		}
	}
	return r.decide()
}

// answered gives the acknowledged writes of all lives of a region.
func answered(ops []history.Operation, region string) map[at]*history.Operation {
	all, lives := map[at]*history.Operation{}, 0
	for i := range ops {
		if ops[i].Region == region {
			lives = max(lives, ops[i].Life)
		}
	}
	for life := range lives + 1 {
		for revision, op := range acknowledged(ops, region, life) {
			all[at{life, revision}] = op
		}
	}
	return all
}

// judge compares one value with the writes of its source.
func (s *sourceView) judge(r *Result, op *history.Operation, key, value string, writes map[string]int64, slack time.Duration) {
	when, written := writes[key+"\x00"+value]
	switch {
	case value == "":
	case !written:
		r.violated("lookup %d shows %s = %q, which nobody wrote", op.ID, key, value)
		return
	case when > op.Ended:
		r.violated("lookup %d shows %s = %q before it was written", op.ID, key, value)
		return
	}
	if op.Answer.AgeUnknown {
		return
	}
	asOf := op.Invoked - *op.Answer.Age - int64(slack)
	if replaced, ok := s.replaced(key, value); ok && replaced < asOf {
		r.violated("lookup %d in %s declares an age of %v, but %s = %q had been replaced %v before it", op.ID, op.Region,
			time.Duration(*op.Answer.Age), key, value, time.Duration(op.Invoked-replaced))
	}
}

// replaced says when it was acknowledged that a key has the value no more; the latest time when it had it several times,
// and false when it may have it still.
func (s *sourceView) replaced(key, value string) (int64, bool) {
	all := s.byKey[key]
	var latest int64
	for i := -1; i < len(all); i++ {
		if i < 0 && value != "" || i >= 0 && (all[i].Deleted != (value == "") || all[i].Value != value) {
			continue
		}
		end := s.ended(all[i+1:])
		if end == history.Never {
			return 0, false
		}
		latest = max(latest, end)
	}
	return latest, true
}

// ended gives the first acknowledgement of one of some writes: with it all before it had happened too.
func (s *sourceView) ended(later []made) int64 {
	first := int64(history.Never)
	for _, m := range later {
		if op := s.acked[m.at]; op != nil {
			first = min(first, op.Ended)
		}
	}
	return first
}
