//go:build fednext

package state

// laterExtension: this build plays the next release, whose entries say more.
const laterExtension = "of the next release"
