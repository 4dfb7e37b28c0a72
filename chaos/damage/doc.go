// Package damage changes what a server that does not run has on its disk: one byte somewhere, or a write that was cut short at
// the end of a log.
//
// It knows what the files of a data folder are for, so that a run can say what it hit, and chooses among the kinds before it
// chooses a file, so that the few small ones are hit as often as the large. Each change is read back, as evidence. It never
// touches the folder of a running server: the caller sees to that. Nothing here may be called concurrently for one folder.
package damage
