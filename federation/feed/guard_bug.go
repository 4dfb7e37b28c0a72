//go:build bug_head_unsigned

package feed

// trustsAnyone: a seeded bug, heads and documents are taken whoever signed them.
const trustsAnyone = true
