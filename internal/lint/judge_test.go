package lint

import (
	"go/parser"
	"go/token"
	"strings"
	"testing"
)

// The rules must be able to fail: each is shown one thing that it refuses.
func TestJudge(t *testing.T) {
	_, fl := loadAll(t)
	tests := []struct {
		pkg, path, want string
	}{
		{"registry", module + "region/record", ""},
		{"registry", module + "xds", "stands below it"},
		{"xds", module + "health", "never import each other"},
		{"region", module + "region/store", ""},
		{"region/state", "github.com/spf13/cobra", "floor 0 may not import"},
		{"cmd/supercluster", module + "api/server", ""},
	}
	for _, tt := range tests {
		from, ok := fl.of(tt.pkg)
		if !ok {
			t.Fatalf("%s has no row", tt.pkg)
		}
		got := judge(fl, from, tt.pkg, tt.path)
		if (tt.want == "") != (got == "") || !strings.Contains(got, tt.want) {
			t.Errorf("judge(%s imports %s) = %q, want %q", tt.pkg, tt.path, got, tt.want)
		}
	}
}

func TestImpurities(t *testing.T) {
	const src = "package p\nimport \"time\"\nimport \"sync/atomic\"\nimport \"hash/maphash\"\nfunc f() { c := make(chan int); go f(); select {}; _ = time.Now(); _ = c }"
	file, err := parser.ParseFile(token.NewFileSet(), "p.go", src, 0)
	if err != nil {
		t.Fatal(err)
	}
	if got := strings.Join(impurities(file), ","); got != "import of sync/atomic,import of hash/maphash,channel,goroutine,select,time.Now" {
		t.Errorf("impurities = %s", got)
	}
}

func TestCalls(t *testing.T) {
	const src = "package p\nfunc f() { synctest.Test(nil, nil); synctest.Wait(); bubble.Test(nil, nil) }"
	file, err := parser.ParseFile(token.NewFileSet(), "p.go", src, 0)
	if err != nil {
		t.Fatal(err)
	}
	if got := len(calls(file, "synctest", "Test")); got != 1 {
		t.Errorf("%d calls of synctest.Test found, want 1", got)
	}
}
