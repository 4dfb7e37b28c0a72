package feed

import (
	"bytes"
	"encoding/hex"
	"flag"
	"fmt"
	"os"
	"reflect"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"supercluster/internal/fault"
	"supercluster/region/record"
)

var update = flag.Bool("update", false, "write the golden file; an old line may never change, only new ones may come")

var (
	testRegion   = [16]byte{1, 15: 2}
	testPosition = record.FeedPosition{Incarnation: 3, Sequence: 70000, Chain: [32]byte{7, 31: 8}}
)

// messages is one of every type, and what may be missing in them.
func messages() (names []string, all []Message) {
	add := func(name string, m Message) {
		m.Region, m.Channel = testRegion, 300
		names, all = append(names, name), append(all, m)
	}
	pull := &Pull{
		Region: testRegion, Channel: 300, Cursor: testPosition, Head: []byte("head"), Credit: 1 << 20, Stamp: -5, Generation: 3<<32 | 1, Whole: true,
	}
	add("pull", Message{Type: TypePull, Pull: pull})
	add("pull-first", Message{Type: TypePull, Pull: &Pull{Region: testRegion, Channel: 300, Credit: 1}})
	add("credit", Message{Type: TypeCredit, Credit: 300})
	add("batch", Message{Type: TypeBatch, Batch: &Batch{
		Records: [][]byte{[]byte("record"), []byte("r2")}, Head: []byte("head"), Document: []byte("document"), Stamp: 1 << 40, AgeNanos: 5e9,
	}})
	add("batch-idle", Message{Type: TypeBatch, Batch: &Batch{Records: [][]byte{}, Head: []byte("head")}})
	add("chunk", Message{Type: TypeChunk, Chunk: &Chunk{
		Target: []byte("head"), From: []byte{1}, To: []byte{2}, Document: []byte("document"),
		Items: []record.FeedItem{{Key: []byte("key"), Entry: []byte("entry")}, {Key: []byte{1}}},
	}})
	add("chunk-empty", Message{Type: TypeChunk, Chunk: &Chunk{Target: []byte("head"), Items: []record.FeedItem{}}})
	add("refuse", Message{Type: TypeRefuse, Refuse: &Refuse{Reason: RefusedBehind, Head: []byte("head")}})
	add("probe", Message{Type: TypeProbe, Stamp: -1 << 40})
	return names, all
}

// What was once sent must be read for ever.
func TestGolden_Messages(t *testing.T) {
	const path = "testdata/messages.golden"
	names, all := messages()
	var b strings.Builder
	for i := range all {
		fmt.Fprintf(&b, "%s %x\n", names[i], Append(nil, &all[i]))
	}
	if *update {
		if err := os.MkdirAll("testdata", 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(b.String()), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	text, err := os.ReadFile(path)
	if err != nil || string(text) != b.String() {
		t.Fatalf("encoded as\n%s\nstored is\n%s (%v)", b.String(), text, err)
	}
	for i, line := range strings.Split(strings.TrimSpace(string(text)), "\n") {
		_, digits, _ := strings.Cut(line, " ")
		raw, err := hex.DecodeString(digits)
		if err != nil {
			t.Fatal(err)
		}
		for _, b := range [][]byte{raw, append(bytes.Clone(raw), "of a later version"...)} {
			if got, err := Decode(b); err != nil || !reflect.DeepEqual(got, all[i]) {
				t.Errorf("%s is read as %+v: %v", names[i], got, err)
			}
		}
	}
}

func TestDecode_JudgesWhatItCannotRead(t *testing.T) {
	names, all := messages()
	for i := range all {
		b := Append(nil, &all[i])
		for n := range b {
			if _, err := Decode(b[:n]); !fault.Is(err, fault.Invalid) {
				t.Fatalf("%s cut at %d: %v", names[i], n, err)
			}
		}
		later := bytes.Clone(b)
		later[0] = 2
		if _, err := Decode(later); !fault.Is(err, fault.Unsupported) || !strings.Contains(err.Error(), "upgrade") {
			t.Errorf("%s of a later format: %v", names[i], err)
		}
		later[0], later[1] = 1, 99
		if _, err := Decode(later); !fault.Is(err, fault.Unsupported) || !strings.Contains(err.Error(), "type 99") {
			t.Errorf("a message of a later type: %v", err)
		}
	}
	huge := Append(nil, &Message{Type: TypeBatch, Batch: &Batch{}})
	if _, err := Decode(append(huge[:len(huge)-1], 0xff, 0xff, 0xff, 0xff, 0x7f)); !fault.Is(err, fault.Invalid) {
		t.Errorf("a count beyond the bytes: %v", err)
	}
}

func TestRefusal_HasAName(t *testing.T) {
	seen := map[string]bool{}
	for r := RefusedUnknown; r <= RefusedInvalid; r++ {
		if seen[r.String()] || r.String() == "unknown-refusal" {
			t.Errorf("refusal %d is called %q", r, r)
		}
		seen[r.String()] = true
	}
	if Refusal(0).String() != "unknown-refusal" || Refusal(99).String() != "unknown-refusal" {
		t.Error("a refusal of a later version has a name")
	}
}

func TestMessages_DecodeGivesWhatWasEncoded(t *testing.T) {
	some := rapid.Custom(func(t *rapid.T) []byte {
		if b := rapid.SliceOfN(rapid.Byte(), 0, 9).Draw(t, "bytes"); len(b) > 0 {
			return b
		}
		return nil
	})
	rapid.Check(t, func(t *rapid.T) {
		bytesOf := func(name string) []byte { return some.Draw(t, name) }
		number := func(name string) int64 { return rapid.Int64().Draw(t, name) }
		m := Message{Type: Type(rapid.IntRange(1, 6).Draw(t, "type")), Channel: rapid.Uint32().Draw(t, "channel")}
		copy(m.Region[:], bytesOf("region"))
		switch m.Type {
		case TypePull:
			m.Pull = &Pull{
				Region: m.Region, Channel: m.Channel, Head: bytesOf("head"), Credit: rapid.Uint32().Draw(t, "credit"), Stamp: number("stamp"),
				Generation: uint64(number("generation")), Whole: rapid.Bool().Draw(t, "whole"),
				Cursor: record.FeedPosition{Incarnation: uint64(number("incarnation")), Sequence: uint64(number("sequence"))},
			}
			copy(m.Pull.Cursor.Chain[:], bytesOf("chain"))
		case TypeCredit:
			m.Credit = rapid.Uint32().Draw(t, "credit")
		case TypeProbe:
			m.Stamp = number("stamp")
		case TypeBatch:
			m.Batch = &Batch{
				Records: rapid.SliceOfN(some, 0, 3).Draw(t, "records"), Head: bytesOf("head"), Document: bytesOf("document"),
				Stamp: number("stamp"), AgeNanos: number("age"),
			}
		case TypeChunk:
			m.Chunk = &Chunk{Target: bytesOf("target"), From: bytesOf("from"), To: bytesOf("to"), Document: bytesOf("document"), Items: []record.FeedItem{}}
			for range rapid.IntRange(0, 3).Draw(t, "items") {
				m.Chunk.Items = append(m.Chunk.Items, record.FeedItem{Key: bytesOf("key"), Entry: bytesOf("entry")})
			}
		default:
			m.Refuse = &Refuse{Reason: Refusal(rapid.Byte().Draw(t, "reason")), Head: bytesOf("head")}
		}
		got, err := Decode(Append([]byte("before"), &m)[len("before"):])
		if err != nil || !reflect.DeepEqual(got, m) {
			t.Fatalf("%+v became %+v: %v", m, got, err)
		}
	})
}

func FuzzDecode(f *testing.F) {
	_, all := messages()
	for i := range all {
		f.Add(Append(nil, &all[i]))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		m, err := Decode(b)
		if err != nil {
			return
		}
		if again, err := Decode(Append(nil, &m)); err != nil || !reflect.DeepEqual(again, m) {
			t.Fatalf("%+v became %+v: %v", m, again, err)
		}
		if m.Size() < 0 {
			t.Fatalf("a message counts %d bytes", m.Size())
		}
	})
}
