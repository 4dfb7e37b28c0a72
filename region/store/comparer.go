package store

import (
	"bytes"

	"github.com/cockroachdb/pebble/v2"

	"supercluster/region/record"
)

// comparerName is stored in every table; Pebble refuses to open a database with another name.
const comparerName = "supercluster.v1"

// newComparer gives the order of keys: plain byte order, in which a version key has the record's key as its prefix
// and the inverted revision as its suffix. No prefix is the start of another one, because a prefix with something
// after it ends at the first end of a name; that is what lets byte order and Pebble's rules for prefixes agree for
// any bytes.
func newComparer() *pebble.Comparer {
	plain := pebble.DefaultComparer
	return &pebble.Comparer{
		Name:                 comparerName,
		Compare:              bytes.Compare,
		Equal:                bytes.Equal,
		ComparePointSuffixes: bytes.Compare,
		CompareRangeSuffixes: bytes.Compare,
		AbbreviatedKey:       plain.AbbreviatedKey,
		Separator:            plain.Separator,
		Successor:            plain.Successor,
		FormatKey:            plain.FormatKey,
		Split:                record.Split,
		ImmediateSuccessor:   immediateSuccessor,
	}
}

// immediateSuccessor appends the smallest prefix after a prefix. Everything that starts with a complete record key
// has that very key as its prefix, so the next prefix differs in its last byte.
func immediateSuccessor(dst, prefix []byte) []byte {
	start := len(dst)
	dst = append(append(dst, prefix...), 0x00)
	if record.Split(dst[start:]) < len(prefix)+1 {
		dst = dst[:len(dst)-1]
		dst[len(dst)-1]++
	}
	return dst
}
