package main

import "supercluster/bench/gate"

// The rules of each benchmark. A failed operation of `write` and `read`, and a client of `xds` that does not get a change, end the
// run before there are rows.

func writeRules(opt options) []gate.Rule {
	return append(kvRules(opt, writes), ahead(puts.row(1, 256), "op/s"))
}

func readRules(opt options) []gate.Rule {
	return append(kvRules(opt, reads), ahead(localReads.row(1, 256), "op/s"))
}

// kvRules ask that every size was measured on both sides.
func kvRules(opt options, ops []operation) (rules []gate.Rule) {
	nodes, clients := kvSizes(opt)
	for _, n := range nodes {
		for _, op := range ops {
			for _, c := range clients {
				rules = append(rules, some(op.row(n, c), "op/s"), some(op.row(n, c), "us p50"), some(op.row(n, c), "us p99"))
			}
		}
	}
	return rules
}

func xdsRules(opt options) (rules []gate.Rule) {
	for _, s := range shapes(opt) {
		rules = append(rules,
			gate.Rule{Row: s.row(appliedRow), Unit: "clients", Want: gate.Exactly, Count: float64(s.streams), Always: true},
			some(s.row(sentP50), "ms"), some(s.row(sentLast), "ms"))
	}
	// At 100 streams a slow disk decides, which the peer does not have.
	return append(rules, ahead(shape{streams: 1000, clusters: 1000, delta: true}.row(sentLast), "ms"))
}

// envoyRules ask that nothing failed, with the gate or without: what a client sees of a leave is no matter of the machine.
func envoyRules(opt options) []gate.Rule {
	_, leaves := envoySizes(opt)
	return []gate.Rule{
		{Row: failedRow, Unit: "requests", Want: gate.Exactly, Count: 0, Always: true},
		{Row: requestsRow(leaves), Unit: "requests", Want: gate.Some, Always: true},
		{Row: ackRow, Unit: "ms", Want: gate.Present},
	}
}

func startRules(opt options) []gate.Rule {
	_, services := startSizes(opt)
	return []gate.Rule{some(idleRow, "MiB"), some(loadedRow(services), "MiB"), some(startRow, "ms"), ahead(startRow, "ms")}
}

// federationRules ask that every line was measured, and the mirror beside it. Who is ahead depends on whether the machine is fast
// enough for the mirror to keep up. A change that a region does not show, and regions that are not equal at the end, end the run
// before there are rows.
func federationRules(opt options) (rules []gate.Rule) {
	shown := func(nodes int, rates []int) {
		for _, rate := range rates {
			for _, l := range federationLines {
				rules = append(rules, some(lagRow(nodes, rate, l.a, l.b), "ms p50"), some(lagRow(nodes, rate, l.b, l.a), "ms p50"))
			}
		}
	}
	one, three := federationRates(opt)
	shown(1, one)
	shown(3, three)
	return rules
}

func some(row, unit string) gate.Rule  { return gate.Rule{Row: row, Unit: unit, Want: gate.Some} }
func ahead(row, unit string) gate.Rule { return gate.Rule{Row: row, Unit: unit, Want: gate.Ahead} }
