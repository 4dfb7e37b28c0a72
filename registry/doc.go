// Package registry says what records mean: tenants, namespaces, services, instances, checks, routes and config
// entries. It owns their rules (names, limits, defaults), the transactions that their writes make, and the View:
// an immutable, indexed picture of everything but config content, built from the one stream of events.
//
// A service holds its instances of all regions: an instance is known by the alias of its region and its id. It stays,
// with the revision of its own region, however long that region is away. Answers call a region by its record's name.
//
// It never does I/O, reads no clock, and never judges who may do something (package access) or which endpoints a
// client gets (package federation/plan).
//
// Invariants:
//
//	I1 a View built from events equals the View built from the records that those events left behind
//	I2 a View never changes once it is returned; neither does anything it points to
//	I3 a record that cannot be decoded is kept out of the View and counted; it never stops a commit
//	I4 every error about a request names the field as the API spells it
//	I5 a write of a check's status holds only while that check exists: a late status never resurrects one
//	I6 two config values with one canonical form have one digest; the form is documented at Digest
//	I7 what another region owns is shown and never written: operations write regional records of this region only
//
// Any number of goroutines may read a View. Next may be called by one goroutine at a time on one View, also
// while others read it. Everything else is a pure function.
package registry
