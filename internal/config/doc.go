// Package config reads the configuration of a server.
//
// It owns the list of keys (fields.go), the order of the sources (defaults < file < environment < flags) and what a
// set of values must fulfil. It never opens a port, reads a certificate or touches the data folder.
//
// Invariants:
//
//	I1 every key is in one table, which gives its name in the file, in the environment and as a flag
//	I2 a key that is not in the table is an error that names the line and the nearest key
//	I3 printing a configuration and reading it again gives the same configuration
//
// A Server is plain data; whoever shares one must not change it.
package config
