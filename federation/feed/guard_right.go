//go:build !bug_head_unsigned

package feed

// trustsAnyone is whether signatures are taken unseen; only a build with a seeded bug does.
const trustsAnyone = false
