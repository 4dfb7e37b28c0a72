// Package schedule expands a seed to the plan of a chaos run: what clients do, and which faults happen when and to whom.
//
// The same seed and options give the same plan, whatever the machine. A plan is saved as JSON and run again from there;
// what the threads of the run do in between is not repeated. It starts nothing. Everything may be called concurrently.
package schedule
