// Package tlsfiles makes TLS settings from certificate files.
//
// It owns how files become a *tls.Config: TLS 1.3, a server that takes only clients with a certificate of the
// configured CA, a client that trusts only the configured CA. It never decides who may do what: that is
// registry/access, from the names that Names finds in a certificate. Private keys never appear in an error.
//
// Everything here is safe for concurrent use; files are read once, by Load.
package tlsfiles
