// Package disk is a disk of its own for one server, on which a run can do what happens to disks: the power goes, nothing
// moves for a while, there is no room left.
//
// It is an ext4 file system in a sparse file, mounted through a loop device; it needs root and mkfs.ext4, see Unavailable.
// A power loss is the shutdown that ext4 itself offers for tests: what was not synced is gone, the journal is not written,
// and everything answers with an error until the file system is mounted again. It owns the file system, never what is on it.
//
// Each fault gives the evidence that it took effect, or an error: a run without evidence proves nothing. A Disk belongs to
// one goroutine. Close removes the mount and the file, also after a fault.
package disk
