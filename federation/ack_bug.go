//go:build bug_import_early_ack

package federation

// acknowledgesEarly: a seeded bug, an import counts as applied once it was received.
const acknowledgesEarly = true
