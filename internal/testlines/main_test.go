package main

import (
	"strings"
	"testing"
)

func TestTranslate(t *testing.T) {
	in := `go: a line of the go command
{"Action":"build-output","ImportPath":"m/broken","Output":"broken.go:3: undefined: x\n"}
{"Action":"start","Package":"m/a"}
{"Action":"run","Package":"m/a","Test":"TestFine"}
{"Action":"output","Package":"m/a","Test":"TestFine","Output":"=== RUN   TestFine\n"}
{"Action":"output","Package":"m/a","Test":"TestFine","Output":"    a_test.go:1: chatter\n"}
{"Action":"output","Package":"m/a","Test":"TestFine","Output":"--- PASS: TestFine (0.00s)\n"}
{"Action":"pass","Package":"m/a","Test":"TestFine"}
{"Action":"output","Package":"m/a","Test":"TestAway","Output":"    a_test.go:9: SKIP: no dig: install dnsutils\n"}
{"Action":"output","Package":"m/a","Test":"TestAway","Output":"--- SKIP: TestAway (0.00s)\n"}
{"Action":"skip","Package":"m/a","Test":"TestAway"}
{"Action":"output","Package":"m/a","Output":"PASS\n"}
{"Action":"output","Package":"m/a","Output":"ok  \tm/a\t0.1s\n"}
{"Action":"pass","Package":"m/a"}
{"Action":"output","Package":"m/none","Output":"?   \tm/none\t[no test files]\n"}
{"Action":"skip","Package":"m/none"}
{"Action":"output","Package":"m/b","Test":"TestBad","Output":"=== RUN   TestBad\n"}
{"Action":"output","Package":"m/b","Test":"TestBad","Output":"    b_test.go:2: 1 is not 2\n"}
{"Action":"output","Package":"m/b","Test":"TestBad","Output":"--- FAIL: TestBad (0.00s)\n"}
{"Action":"fail","Package":"m/b","Test":"TestBad"}
{"Action":"output","Package":"m/b","Test":"TestDies","Output":"panic: no end\n"}
{"Action":"output","Package":"m/b","Output":"FAIL\tm/b\t0.1s\n"}
{"Action":"fail","Package":"m/b"}
`
	want := `go: a line of the go command
broken.go:3: undefined: x
SKIP: m/a TestAway: no dig: install dnsutils
ok  	m/a	0.1s
?   	m/none	[no test files]
    b_test.go:2: 1 is not 2
--- FAIL: TestBad (0.00s)
panic: no end
FAIL	m/b	0.1s
1 tests or parts of tests did not run: see the lines with "SKIP:"
`
	var got strings.Builder
	if err := translate(strings.NewReader(in), &got); err != nil || got.String() != want {
		t.Errorf("%v\n--- got\n%s--- want\n%s", err, got.String(), want)
	}
}

func TestTranslate_KeepsTheNewest(t *testing.T) {
	p := &printer{kept: map[name]string{}}
	at := name{"m/a", "TestLong"}
	for range 100 {
		p.output(at, strings.Repeat("x", maxKept/10)+"\n")
	}
	p.output(at, "the end\n")
	if kept := p.kept[at]; len(kept) != maxKept || !strings.HasSuffix(kept, "the end\n") {
		t.Errorf("%d bytes are kept", len(kept))
	}
}
