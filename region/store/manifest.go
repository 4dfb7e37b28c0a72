package store

import (
	"errors"
	"hash/crc32"
	"io"

	"github.com/cockroachdb/pebble/v2"

	"supercluster/internal/chunks"
	"supercluster/internal/fault"
	"supercluster/region/record"
)

// replaceHint is what to do with a replica whose disk changed what was written to it.
const replaceHint = record.ReplaceHint

// checkManifest looks at the list of a database's files before Pebble does. Pebble takes the first record that it can
// not read as the end of the list, and then opens an older state with the newest log behind it: what lies between is
// missing, and nothing says so.
func (s *Store) checkManifest(path string) error {
	found, err := pebble.Peek(path, s.folder.fs)
	if err != nil || !found.Exists {
		return diskFault(err, "the database %s can not be looked at", path)
	}
	file, err := s.folder.fs.Open(found.ManifestFilename)
	if err != nil {
		return diskFault(err, "the list of files of database %s can not be opened", path)
	}
	scan := chunks.Scan{Sum: pebbleSum}
	state, err := scanAll(&scan, file)
	if err := closeAfter(file, err); err != nil {
		return diskFault(err, "the list of files of database %s can not be read", path)
	}
	if state == chunks.Damaged {
		return fault.New(fault.Corrupt, "%s is damaged at byte %d", found.ManifestFilename, scan.At()).WithHint(replaceHint)
	}
	return nil
}

func scanAll(scan *chunks.Scan, file io.Reader) (chunks.State, error) {
	block := make([]byte, chunks.BlockSize)
	for {
		n, err := io.ReadFull(file, block)
		if n > 0 {
			if state := scan.Block(block[:n]); state != chunks.Whole {
				return state, nil
			}
		}
		switch {
		case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
			return scan.Close(), nil
		case err != nil:
			return 0, err
		}
	}
}

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// pebbleSum is Pebble's checksum: a CRC that is turned, so that a checksum of checksums is none.
func pebbleSum(b []byte) uint32 {
	c := crc32.Checksum(b, castagnoli)
	return (c>>15 | c<<17) + 0xa282ead8
}
