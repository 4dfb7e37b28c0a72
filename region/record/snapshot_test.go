package record_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"

	"supercluster/internal/fault"
	"supercluster/region/record"
)

// writeRows makes a stream of several blocks.
func writeRows(t *testing.T, n int) []byte {
	t.Helper()
	var b bytes.Buffer
	w := record.NewSnapshotWriter(&b, record.FeatureLevel)
	for i := range n {
		if err := w.Add(binary.BigEndian.AppendUint32(nil, uint32(i)), bytes.Repeat([]byte{byte(i)}, 1000)); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func ignore(_, _ []byte) error { return nil }

func TestSnapshot_ManyBlocks(t *testing.T) {
	n := 0
	err := record.ReadSnapshot(bytes.NewReader(writeRows(t, 500)), func(key, value []byte) error {
		if binary.BigEndian.Uint32(key) != uint32(n) || len(value) != 1000 || value[999] != byte(n) {
			return fmt.Errorf("row %d is %x with %d bytes", n, key, len(value))
		}
		n++
		return nil
	})
	if err != nil || n != 500 {
		t.Errorf("%d rows, %v", n, err)
	}
}

// Whatever byte is damaged and wherever the stream is cut, the reader says so: as corrupt, or as too new.
func TestSnapshot_EveryDamageIsSeen(t *testing.T) {
	good := writeRows(t, 3)
	for i := range good {
		bad := bytes.Clone(good)
		bad[i] ^= 0x10
		if err := record.ReadSnapshot(bytes.NewReader(bad), ignore); !fault.Is(err, fault.Corrupt) && !fault.Is(err, fault.Unsupported) {
			t.Fatalf("byte %d changed: %v", i, err)
		}
		if err := record.ReadSnapshot(bytes.NewReader(good[:i]), ignore); !fault.Is(err, fault.Corrupt) {
			t.Fatalf("cut at %d: %v", i, err)
		}
	}
}

// No row of a damaged block is handed out.
func TestSnapshot_DamageIsSeenBeforeTheRows(t *testing.T) {
	bad := writeRows(t, 3)
	bad[100] ^= 1 // inside the first value
	err := record.ReadSnapshot(bytes.NewReader(bad), func(key, _ []byte) error {
		t.Errorf("row %x was handed out", key)
		return nil
	})
	if !fault.Is(err, fault.Corrupt) {
		t.Error(err)
	}
}

func TestSnapshot_PassesOnForeignErrors(t *testing.T) {
	broken := errors.New("broken pipe")
	if err := record.ReadSnapshot(io.MultiReader(bytes.NewReader(writeRows(t, 3)[:40]), failing{broken}), ignore); !errors.Is(err, broken) {
		t.Errorf("read: %v", err)
	}
	if err := record.ReadSnapshot(bytes.NewReader(writeRows(t, 3)), func(_, _ []byte) error { return broken }); !errors.Is(err, broken) {
		t.Errorf("add: %v", err)
	}
	w := record.NewSnapshotWriter(failing{broken}, 1)
	if err := w.Add([]byte("a"), nil); !errors.Is(err, broken) {
		t.Errorf("write: %v", err)
	}
}

func TestSnapshot_RowsMustAscend(t *testing.T) {
	w := record.NewSnapshotWriter(io.Discard, 1)
	if err := w.Add([]byte("b"), nil); err != nil {
		t.Fatal(err)
	}
	if err := w.Add([]byte("b"), nil); err == nil || !strings.Contains(err.Error(), "not in order") {
		t.Errorf("the same key twice: %v", err)
	}
	if w.Close() == nil {
		t.Error("Close forgot the error")
	}
}

func TestSnapshot_TooNew(t *testing.T) {
	var b bytes.Buffer
	if err := record.NewSnapshotWriter(&b, record.FeatureLevel+1).Close(); err != nil {
		t.Fatal(err)
	}
	err := record.ReadSnapshot(&b, ignore)
	if !fault.Is(err, fault.Unsupported) || !strings.Contains(err.Error(), "upgrade") {
		t.Errorf("a snapshot of a later level: %v", err)
	}
}

type failing struct{ err error }

func (f failing) Read([]byte) (int, error)  { return 0, f.err }
func (f failing) Write([]byte) (int, error) { return 0, f.err }
