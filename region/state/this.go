//go:build !fednext

package state

// laterExtension is what a later version adds to each entry that it exports; a build that plays one has something.
const laterExtension = ""
