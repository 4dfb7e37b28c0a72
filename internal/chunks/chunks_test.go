package chunks

import (
	"bytes"
	"encoding/binary"
	"hash/crc32"
	"math/rand/v2"
	"testing"
)

func sum(b []byte) uint32 { return crc32.ChecksumIEEE(b) }

// write makes a file of records, and says where each begins.
func write(records ...[]byte) (file []byte, begins []int) {
	for _, r := range records {
		if left := BlockSize - len(file)%BlockSize; left < header {
			file = append(file, make([]byte, left)...)
		}
		begins = append(begins, len(file))
		for part := 0; part == 0 || len(r) > 0; part++ {
			n := min(len(r), BlockSize-len(file)%BlockSize-header)
			kind := byte(3)
			switch final := n == len(r); {
			case part == 0 && final:
				kind = 1
			case part == 0:
				kind = 2
			case final:
				kind = 4
			}
			chunk := append([]byte{kind}, r[:n]...)
			file = binary.LittleEndian.AppendUint32(file, sum(chunk))
			file = binary.LittleEndian.AppendUint16(file, uint16(n))
			file = append(file, chunk...)
			r = r[n:]
		}
	}
	return file, begins
}

func scan(file []byte) (State, *Scan) {
	s := &Scan{Sum: sum}
	for at := 0; at < len(file); at += BlockSize {
		if state := s.Block(file[at:min(at+BlockSize, len(file))]); state != Whole {
			return state, s
		}
	}
	return s.Close(), s
}

func example(random *rand.Rand) [][]byte {
	var records [][]byte
	for range 40 {
		r := make([]byte, 1+random.IntN(5000))
		for i := range r {
			r[i] = byte(1 + random.IntN(255))
		}
		records = append(records, r)
	}
	return records
}

func TestScan_WholeAndZeros(t *testing.T) {
	file, _ := write(example(rand.New(rand.NewPCG(1, 1)))...)
	if state, s := scan(file); state != Whole || s.Begin() != int64(len(file)) {
		t.Errorf("a whole file: state %d, record at %d of %d", state, s.Begin(), len(file))
	}
	if state, s := scan(append(bytes.Clone(file), make([]byte, 70_000)...)); state != End || s.Begin() != int64(len(file)) {
		t.Errorf("with zeros behind: state %d, record at %d of %d", state, s.Begin(), len(file))
	}
}

// Every changed byte is seen as such, at the end of the file as in the middle.
func TestScan_EveryChangedByteIsDamage(t *testing.T) {
	file, begins := write(example(rand.New(rand.NewPCG(2, 1)))...)
	random := rand.New(rand.NewPCG(3, 1))
	last := begins[len(begins)-1]
	for i := range file {
		headers := i%BlockSize < header
		for _, b := range begins {
			headers = headers || i >= b && i < b+header
		}
		if !headers && i < last && random.IntN(50) > 0 {
			continue
		}
		for _, change := range []byte{1, 4, 0x80, byte(1 + random.IntN(255))} {
			broken := bytes.Clone(file)
			broken[i] ^= change
			if state, _ := scan(broken); state != Damaged {
				t.Fatalf("byte %d of %d changed by %#x: state %d", i, len(file), change, state)
			}
		}
	}
}

// A file that ends early, and one whose last sectors never came, end where the last whole record does.
func TestScan_CutWriteIsTorn(t *testing.T) {
	file, begins := write(example(rand.New(rand.NewPCG(4, 1)))...)
	last := begins[len(begins)-1]
	for cut := last + 1; cut < len(file); cut++ {
		if state, s := scan(file[:cut]); state != Torn || s.Begin() != int64(last) {
			t.Fatalf("cut at %d: state %d, record at %d, want %d", cut, state, s.Begin(), last)
		}
	}
	for from := (last/sector + 1) * sector; from < len(file); from += sector {
		broken := append(bytes.Clone(file), make([]byte, 2*BlockSize)...) // what was reserved behind the end
		clear(broken[from:])
		if state, s := scan(broken); state != Torn || s.Begin() != int64(last) {
			t.Fatalf("zeros from %d: state %d, record at %d, want %d", from, state, s.Begin(), last)
		}
	}
}

func FuzzScan(f *testing.F) {
	file, _ := write([]byte("a"), make([]byte, 40_000))
	f.Add(file)
	f.Fuzz(func(t *testing.T, b []byte) {
		if state, s := scan(b); s.Begin() > int64(len(b)) || state > Damaged {
			t.Errorf("state %d, record at %d of %d", state, s.Begin(), len(b))
		}
	})
}
