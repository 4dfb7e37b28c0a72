// Package ca is who a region is: its id, its feed key and its certificate authority (CA), all as files, and the
// certificates by which servers of different regions know each other.
//
// It owns the four files of an identity (Init writes them, Load checks them), the issuing and renewal of a server's
// certificate (Issuer), and the decision which region's server a certificate proves (Trust). It never decides who may
// do what, opens no port, and keeps nothing anywhere but in the files that Init writes.
//
// Invariants:
//
//	I1 private keys are in the key files and in memory only: no error, log line, text form or other file shows one;
//	   in memory they sit in closures, where no printer finds them
//	I2 a key file that others can read, or that does not fit the other three files, is refused with an instruction
//	I3 Init never overwrites a file
//	I4 a certificate proves a server of the region that its SPIFFE id names, and only when a root of that very region
//	   issued it: the CA of one region can not speak for another
//
// An Identity and a FeedKey are immutable. Trust and Issuer are safe for concurrent use. NewIssuer starts nothing;
// Issuer.Run blocks until its context ends.
package ca
