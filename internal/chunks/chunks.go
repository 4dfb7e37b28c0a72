// Package chunks tells a write that power cut short from bytes that changed on disk, in files of the chunk format that
// Tan and Pebble share: blocks of 32 KiB, in them chunks of checksum, length, type and payload.
//
// Both libraries take the first chunk that does not read as the end of a file. That is right for the end of a write
// that was never acknowledged, and wrong for a byte that changed in the middle: what comes after it would be forgotten
// without a word. It owns that judgement and reads no file itself. A Scan belongs to one goroutine.
//
// Invariants:
//
//	I1 one changed byte of a chunk is Damaged, never Torn
//	I2 what a cut write leaves is Torn: a file that ends early, or whole sectors that are zero
package chunks

import "encoding/binary"

// The format.
const (
	BlockSize = 32 << 10
	header    = 7
	sector    = 512 // what a disk writes whole or not at all
	first     = 2
	last      = 4
	types     = 4
)

// State is what was found.
type State uint8

// The states of a scan.
const (
	Whole   State = iota // so far all is well
	End                  // zeros: nothing was written from here on
	Torn                 // the last write was cut short; what is before it is well
	Damaged              // what was written has changed
)

// Scan reads the blocks of one file in order.
type Scan struct {
	// Sum is the checksum of the file's library.
	Sum func(b []byte) uint32

	at    int64 // where the next block begins
	begin int64 // where the record that is being read began
	open  bool  // its last chunk was not seen yet
}

// Begin is where the first record begins that is not whole: Torn, cut the file there.
func (s *Scan) Begin() int64 { return s.begin }

// At is where the chunk of a state other than Whole is, or the end of what was read.
func (s *Scan) At() int64 { return s.at }

// Block reads the next block; all but the last have BlockSize bytes.
func (s *Scan) Block(b []byte) State {
	base := s.at
	for at := 0; ; {
		s.at = base + int64(at)
		if at+header > len(b) {
			return s.rest(b, at, base)
		}
		if zero(b[at : at+header]) {
			return s.zeros()
		}
		end := at + header + int(binary.LittleEndian.Uint16(b[at+4:]))
		if kind := b[at+6]; end > len(b) || kind == 0 || kind > types || !s.fits(b, at, end) {
			return s.judge(b, at, end)
		}
		switch kind := b[at+6]; {
		case !s.open && (kind == first || kind == 1):
			s.begin = s.at
			s.open = kind == first
		case s.open && kind > first:
			s.open = kind != last
		default: // a part without a beginning, or a beginning within a record
			return Damaged
		}
		at = end
		if !s.open {
			s.begin = base + int64(at)
		}
	}
}

// rest judges the bytes at the end of a block that hold no header.
func (s *Scan) rest(b []byte, at int, base int64) State {
	s.at = base + int64(len(b))
	if len(b) < BlockSize && at < len(b) && !zero(b[at:]) {
		return Torn // a header that is not all there
	}
	return Whole
}

// zeros judges a header of zeros: nothing was written there, or it did not reach the disk.
func (s *Scan) zeros() State {
	if s.open {
		return Torn
	}
	return End
}

// Close says what the end of the file means.
func (s *Scan) Close() State {
	if s.open {
		return Torn
	}
	return Whole
}

func (s *Scan) fits(b []byte, at, end int) bool {
	return s.Sum(b[at+6:end]) == binary.LittleEndian.Uint32(b[at:])
}

// judge decides about a chunk that does not read.
func (s *Scan) judge(b []byte, at, end int) State {
	if s.mended(b, at, end) {
		return Damaged
	}
	if end > len(b) && len(b) < BlockSize {
		return Torn // the file ends before the chunk does
	}
	// The sector in which the chunk ends counts, too, if nothing was written behind it: a process can be killed between two
	// pages of a write.
	if emptySector(b, at, min((end+sector-1)/sector*sector, len(b))) {
		return Torn
	}
	return Damaged
}

// mended reports whether another length or type makes the chunk whole: then it was written, and its header changed.
func (s *Scan) mended(b []byte, at, end int) bool {
	length := binary.LittleEndian.Uint16(b[at+4:])
	for v := range 256 {
		low, high := length&0xff00|uint16(v), length&0xff|uint16(v)<<8
		for _, other := range []uint16{low, high} {
			if e := at + header + int(other); other != length && e <= len(b) && s.fits(b, at, e) {
				return true
			}
		}
	}
	if end > len(b) {
		return false
	}
	chunk := append([]byte(nil), b[at+6:end]...)
	for kind := byte(1); kind <= types; kind++ {
		chunk[0] = kind
		if s.Sum(chunk) == binary.LittleEndian.Uint32(b[at:]) {
			return true
		}
	}
	return false
}

// emptySector reports whether a whole sector between two places of a block is zero.
func emptySector(b []byte, from, to int) bool {
	for at := (from + sector - 1) / sector * sector; at+sector <= to; at += sector {
		if zero(b[at : at+sector]) {
			return true
		}
	}
	return false
}

func zero(b []byte) bool {
	for _, c := range b {
		if c != 0 {
			return false
		}
	}
	return true
}
