//go:build bug_import_no_cursor

package state

// skipsCursor: a seeded bug, an import goes in wherever it begins.
const skipsCursor = true
