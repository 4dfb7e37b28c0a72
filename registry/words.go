package registry

import (
	"cmp"
	"maps"
	"slices"
	"strconv"
)

// quote is strconv.Quote: names from outside never reach a terminal raw.
func quote(s string) string { return strconv.Quote(s) }

// indexed is the path of one element of a repeated field.
func indexed(field string, i int) string { return field + "[" + strconv.Itoa(i) + "]" }

// dotted is the path of a field of a message; an empty message is the request itself.
func dotted(message, field string) string {
	if message == "" {
		return field
	}
	return message + "." + field
}

// sortedKeys gives the keys of a map in order, for whatever reaches an output.
func sortedKeys[K cmp.Ordered, V any](m map[K]V) []K {
	return slices.Sorted(maps.Keys(m))
}
