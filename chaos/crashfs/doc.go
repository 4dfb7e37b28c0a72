// Package crashfs is the disk of a node that runs in this process: a folder of the machine, seen through the file systems
// of the Raft log and of the state, that knows what was synced. Where the power fails, what was not synced is gone.
//
// It is stricter than most disks. What is written to a file is durable when the file was synced after it; a name that was
// made, replaced or removed is so when its folder was synced after it, and until then the old one comes back. Of what was not
// synced, Left can keep a beginning: of the changes of each folder, and of the writes to each file, the last one torn; at a
// sector of 512 bytes where it is over what was there.
//
// Cut is an instant. Who runs on goes on in the old folder and notices nothing, but nothing of that is left: the next start
// is in a folder that Left makes. A caller sees to it that nobody hears the node any more before it cuts: then whatever the
// node was heard to promise was synced before.
//
// A disk can also stand still, so that all that changes it waits, and say that it is nearly full.
//
// It owns what is known of the folders that it was given, from New on: what was there then is durable. It never syncs by
// itself and never judges what a store makes of its files. Everything may be called concurrently, but Left only after Cut.
package crashfs
