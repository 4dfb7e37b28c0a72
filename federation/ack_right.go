//go:build !bug_import_early_ack

package federation

// acknowledgesEarly is whether an import counts as applied before it is; only a build with a seeded bug does that.
const acknowledgesEarly = false
