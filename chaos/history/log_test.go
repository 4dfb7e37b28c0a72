package history

import (
	"errors"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
)

func TestLogIsReadAgain(t *testing.T) {
	path := filepath.Join(t.TempDir(), "history.jsonl")
	log, err := Create(path)
	if err != nil {
		t.Fatal(err)
	}
	put := Call{Kind: CallPut, Steps: []Step{{Do: DoPut, Key: "a", Value: "1"}}}
	get := Call{Kind: CallGet, Steps: []Step{{Do: DoGet, Key: "a"}}}
	first := log.Invoke(1, "dc1", "n1", put)
	second := log.Invoke(2, "dc1", "n2", get)
	log.OK(second, "n3", Answer{Values: []string{"1"}})
	log.Unknown(first, errors.New("cut"))
	third := log.Invoke(1, "dc1", "n1", put)
	log.Fail(third, errors.New("refused"))
	log.Invoke(3, "dc1", "n1", put)
	log.Mark(MarkHeal)
	if err := log.Close(); err != nil {
		t.Fatal(err)
	}
	lines, err := Read(path)
	if err != nil {
		t.Fatal(err)
	}
	ops, err := Operations(lines)
	if err != nil {
		t.Fatal(err)
	}
	var outcomes []Type
	for _, op := range ops {
		outcomes = append(outcomes, op.Outcome)
	}
	if want := []Type{Unknown, OK, Fail, Unknown}; !reflect.DeepEqual(outcomes, want) {
		t.Errorf("outcomes %v, want %v", outcomes, want)
	}
	if ops[1].Node != "n3" || ops[1].Answer.Values[0] != "1" || ops[1].Ended < ops[1].Invoked || ops[3].Ended != Never {
		t.Errorf("operations are not what was written: %+v", ops)
	}
	if at, ok := MarkedAt(lines, MarkHeal); !ok || at < ops[3].Invoked {
		t.Errorf("the mark is at %d (%v)", at, ok)
	}
}

func TestBrokenHistoriesAreRefused(t *testing.T) {
	for name, text := range map[string]string{
		"no JSON":       "{",
		"no invoke":     `{"type":"ok","id":1,"answer":{}}`,
		"two ends":      `{"type":"invoke","id":1,"call":{"kind":"put","steps":[]}}` + "\n" + `{"type":"fail","id":1}` + "\n" + `{"type":"fail","id":1}`,
		"two invokes":   `{"type":"invoke","id":1,"call":{"kind":"put","steps":[]}}` + "\n" + `{"type":"invoke","id":1,"call":{"kind":"put","steps":[]}}`,
		"no answer":     `{"type":"invoke","id":1,"call":{"kind":"put","steps":[]}}` + "\n" + `{"type":"ok","id":1}`,
		"values lacked": `{"type":"invoke","id":1,"call":{"kind":"get","steps":[{"do":"get","key":"a"}]}}` + "\n" + `{"type":"ok","id":1,"answer":{}}`,
	} {
		path := filepath.Join(t.TempDir(), "history.jsonl")
		if err := os.WriteFile(path, []byte(text+"\n"), 0o600); err != nil {
			t.Fatal(err)
		}
		lines, err := Read(path)
		if err == nil {
			_, err = Operations(lines)
		}
		if err == nil || !strings.Contains(err.Error(), "line") {
			t.Errorf("%s: error %v", name, err)
		}
	}
}
