package backup

import (
	"bytes"
	"errors"
	"io"
	"math/rand/v2"
	"os"
	"strings"
	"testing"
	"time"

	"supercluster/internal/fault"
)

func testHeader() Header {
	return Header{
		Region: "dc1", RegionID: strings.Repeat("0a", 16), Federated: true, Incarnation: 3, SystemRevision: 4, Revision: 5,
		CompactedRevision: 2, AppliedIndex: 9, FeatureLevel: 2, Replica: 3, Time: time.Unix(1_700_000_000, 0).UTC(), Node: "n1", Version: "v1",
	}
}

func made(tb testing.TB, content []byte) []byte {
	tb.Helper()
	var b bytes.Buffer
	h := testHeader()
	w, err := NewWriter(&b, &h)
	if err != nil {
		tb.Fatal(err)
	}
	if _, err := w.Write(content); err != nil {
		tb.Fatal(err)
	}
	if _, err := w.Close(7, [32]byte{1, 2, 3}); err != nil {
		tb.Fatal(err)
	}
	return b.Bytes()
}

func readAll(file []byte) ([]byte, *Reader, error) {
	r, err := NewReader(bytes.NewReader(file))
	if err != nil {
		return nil, nil, err
	}
	defer r.Close()
	content, err := io.ReadAll(r)
	return content, r, err
}

// noise does not compress; zeros do.
func noise(n int) []byte {
	random := rand.New(rand.NewPCG(1, 2))
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(random.Uint32())
	}
	return b
}

func TestBackup_ComesBack(t *testing.T) {
	for _, content := range [][]byte{nil, {1}, make([]byte, 3*blockBytes), noise(blockBytes), noise(2*blockBytes + 1)} {
		file := made(t, content)
		got, r, err := readAll(file)
		if err != nil || !bytes.Equal(got, content) || r.Header != testHeader() {
			t.Fatalf("%d bytes came back as %d of %+v (%v)", len(content), len(got), r.Header, err)
		}
		want := Trailer{Rows: 7, Bytes: uint64(len(content)), Hash: [32]byte{1, 2, 3}}
		if last, err := ReadTrailer(bytes.NewReader(file), int64(len(file))); err != nil || last != want || r.Trailer != want {
			t.Errorf("the trailer is %+v and %+v (%v)", last, r.Trailer, err)
		}
	}
}

// TestBackup_EveryFlippedByteIsSeen flips each bit of a small backup, and cuts it everywhere.
func TestBackup_EveryFlippedByteIsSeen(t *testing.T) {
	file := made(t, append(noise(300), make([]byte, 300)...))
	for at := range file {
		for bit := range 8 {
			wrong := bytes.Clone(file)
			wrong[at] ^= 1 << bit
			if _, _, err := readAll(wrong); err == nil {
				t.Fatalf("bit %d of byte %d was flipped, and nobody saw it", bit, at)
			}
		}
		if _, _, err := readAll(file[:at]); err == nil {
			t.Fatalf("the backup was cut at byte %d, and nobody saw it", at)
		}
	}
	if _, _, err := readAll(append(bytes.Clone(file), 0)); !fault.Is(err, fault.Corrupt) {
		t.Errorf("a byte after the end: %v", err)
	}
}

func TestBackup_KindsOfWrong(t *testing.T) {
	file := made(t, []byte("rows"))
	later := bytes.Clone(file)
	later[len(magic)] = 2
	for _, c := range []struct {
		file []byte
		kind fault.Kind
		text string
	}{
		{later, fault.Unsupported, "has format 2, this version knows 1 (if it was made by a newer version, use that one"},
		{[]byte("hello\n"), fault.Invalid, "this is no backup"},
		{nil, fault.Invalid, "this is no backup"},
		{file[:20], fault.Corrupt, "ends early, in its header"},
		{file[:len(file)-100], fault.Corrupt, "ends early"},
	} {
		if _, _, err := readAll(c.file); !fault.Is(err, c.kind) || !strings.Contains(err.Error(), c.text) {
			t.Errorf("%.20q: %v", c.file, err)
		}
	}
}

type failing struct{ left int }

func (f *failing) Write(p []byte) (int, error) {
	if f.left -= len(p); f.left < 0 {
		return 0, errFull
	}
	return len(p), nil
}

var errFull = errors.New("full")

func TestWriter_KeepsTheFirstError(t *testing.T) {
	h := testHeader()
	w, err := NewWriter(&failing{left: 1000}, &h)
	if err != nil {
		t.Fatal(err)
	}
	_, err = w.Write(noise(4 * blockBytes))
	if _, closeErr := w.Close(1, [32]byte{}); !errors.Is(err, errFull) || !errors.Is(closeErr, errFull) {
		t.Errorf("the errors are %v and %v", err, closeErr)
	}
}

// TestGolden reads a file that an earlier build wrote. UPDATE_GOLDEN=1 writes a new one.
func TestGolden(t *testing.T) {
	const path = "testdata/v1.golden"
	content := []byte(strings.Repeat("rows of the state\n", 40))
	if os.Getenv("UPDATE_GOLDEN") != "" {
		if err := os.WriteFile(path, made(t, content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	file, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	got, r, err := readAll(file)
	if err != nil || !bytes.Equal(got, content) || r.Header != testHeader() || r.Trailer.Rows != 7 {
		t.Errorf("%q of %+v (%v)", got, r, err)
	}
}

func FuzzReader(f *testing.F) {
	f.Add(made(f, nil))
	f.Add(made(f, noise(50)))
	f.Add([]byte(magic))
	f.Fuzz(func(t *testing.T, file []byte) {
		content, r, err := readAll(file)
		if err == nil && uint64(len(content)) != r.Trailer.Bytes {
			t.Errorf("%d bytes, and the trailer says %d", len(content), r.Trailer.Bytes)
		}
	})
}
