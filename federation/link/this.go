//go:build !fednext

package link

// raised is by how much the newest version of the protocol is above this release's. Only a build that plays the next
// release, to be tested against this one, has more than 0.
const raised = 0
