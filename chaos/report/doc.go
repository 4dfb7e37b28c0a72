// Package report says what a chaos run did and found: operations, faults with the evidence that each took effect, and
// what the checkers say, as text and as JSON.
//
// A run that proves nothing is void: a nemesis had no effect, too few operations were checked, a checker could not
// decide. Void is not passed. It reads histories only. Everything may be called concurrently.
package report
