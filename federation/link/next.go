//go:build fednext

package link

// raised: this build plays the next release.
const raised = 1
