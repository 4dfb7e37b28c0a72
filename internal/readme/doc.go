// Package readme runs the README's quick start as it is written, and `make run` from a clean clone, so that what a newcomer
// types first is never wrong. It has only tests.
package readme
