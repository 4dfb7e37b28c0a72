//go:build unix

package ca

import (
	"io/fs"
	"syscall"
)

// owner gives the user that a file belongs to.
func owner(info fs.FileInfo) (user int, known bool) {
	stat, ok := info.Sys().(*syscall.Stat_t)
	if !ok {
		return 0, false
	}
	return int(stat.Uid), true
}
