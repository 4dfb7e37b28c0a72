//go:build race

package bubble

// raceBuild says that the race detector is linked in.
const raceBuild = true
