// Package backup is the container of a backup: a header that says what it is of, the snapshot stream of the state in
// compressed blocks, and a trailer with totals and the hash of the state.
//
// It owns the bytes of the file and nothing else: what rows mean is package region/state's, which file is made or read
// is its caller's. It never opens a file or a network connection. A reader gives out no byte of a block before the
// block's checksum was seen, allocates no more than one block whatever the bytes say, and reports success only after the
// digest of the whole file was seen and nothing follows it. Readers and writers belong to one goroutine each.
package backup
