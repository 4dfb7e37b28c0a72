// Package check judges the history of a chaos run: is a region linearizable, does a watch give everything once and in
// order, do other regions get what a region wrote once, in order and in time, and do old answers say that they are old.
//
// It judges lines of history only, so a run of the past can be judged again. It says what is wrong, with examples, and
// what it could not decide: nothing to judge is not a pass. Everything may be called concurrently.
package check
