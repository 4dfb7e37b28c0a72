//go:build !fednext

package record

// raised is by how much the feature level is above this release's; a build that plays the next release has more than 0.
const raised = 0
