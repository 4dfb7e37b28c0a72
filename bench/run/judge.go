package main

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"supercluster/bench/gate"
	"supercluster/bench/measure"
)

// judged measures a benchmark and holds it to its rules: all with -gate, else those that always hold. An order that is lost is
// measured a second time before it fails, since whatever else runs on the machine can turn it once.
func (b benchmark) judged(ctx context.Context, opt options) error {
	rules := b.held(opt)
	rows, err := b.measured(ctx, opt)
	if err != nil {
		return err
	}
	broken := gate.Judge(rules, rows)
	if len(broken) > 0 && !slices.ContainsFunc(broken, func(one gate.Breach) bool { return !one.Order() }) {
		again, err := b.again(ctx, opt, broken)
		if err != nil {
			return err
		}
		broken = gate.Second(broken, gate.Judge(rules, again))
	}
	if opt.gate && len(broken) == 0 {
		fmt.Printf("gate: %s keeps its %d rules\n", b.name, len(rules))
	}
	var all error
	for _, one := range broken {
		all = errors.Join(all, fmt.Errorf("bench %s: %w", b.name, one))
	}
	return all
}

// held are the rules of a run.
func (b benchmark) held(opt options) []gate.Rule {
	return slices.DeleteFunc(b.rules(opt), func(r gate.Rule) bool { return !opt.gate && !r.Always })
}

func (b benchmark) again(ctx context.Context, opt options, lost []gate.Breach) ([]measure.Row, error) {
	for _, one := range lost {
		fmt.Printf("gate: %s: %v\n", b.name, one)
	}
	fmt.Println("gate: an order was lost, which a busy machine can do for once: measured a second time")
	return b.measured(ctx, opt)
}
