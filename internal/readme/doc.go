// Package readme runs the README's quick start as it is written, so that what a newcomer types first is never wrong.
// It has only a test.
package readme
