//go:build fednext

package record

// raised: this build plays the next release.
const raised = 1
