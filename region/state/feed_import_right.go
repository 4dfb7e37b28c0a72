//go:build !bug_import_no_cursor

package state

// skipsCursor is whether an import goes in wherever it begins; only a build with a seeded bug does that.
const skipsCursor = false
