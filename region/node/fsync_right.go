//go:build !bug_ack_before_fsync

package node

import "github.com/lni/dragonboat/v4/config"

// logFS is the file system of the log: that of its settings. Only a build with a seeded bug changes it.
func logFS(fs config.IFS) config.IFS { return fs }
