// Package measure sums up latencies and writes the tables and files of the benchmarks.
//
// It owns how figures are made: warm-up left out, alternating order A B B A between ours and the peer in one run,
// medians over rounds, floors beside the figures. It never judges: a ratio is printed, not asserted.
package measure
