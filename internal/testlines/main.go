// Command testlines reads what `go test -json` writes and prints what `go test` would print, and besides one line for each test that
// did not run: without -v the reason of a skip is shown to nobody, and with it ten thousand lines are.
//
// It judges nothing: whether the tests passed is the exit code of `go test`, so run it behind `set -o pipefail`.
package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"strings"
)

const (
	// loud begins the reason of a test that does not run; internal/lint sees to it.
	loud = "SKIP: "
	// maxKept bounds what is kept of the output of one test until its end is known: the newest.
	maxKept = 1 << 20
)

func main() {
	if err := translate(os.Stdin, os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "testlines:", err)
		os.Exit(1)
	}
}

// event is a line of `go test -json`; see `go doc test2json`.
type event struct {
	Action  string
	Package string
	Test    string
	Output  string
}

// name is a test, or with an empty test the package itself.
type name struct{ pkg, test string }

// printer keeps the output of what has not ended.
type printer struct {
	out     *bufio.Writer
	kept    map[name]string
	skipped int
}

func translate(in io.Reader, out io.Writer) error {
	p := &printer{out: bufio.NewWriter(out), kept: map[name]string{}}
	lines := bufio.NewReader(in)
	for {
		line, err := lines.ReadString('\n')
		if line != "" {
			p.line(line)
		}
		if ferr := p.out.Flush(); ferr != nil {
			return ferr
		}
		if err == io.EOF {
			break
		}
		if err != nil {
			return err
		}
	}
	if p.skipped > 0 {
		fmt.Fprintf(p.out, "%d tests or parts of tests did not run: see the lines with %q\n", p.skipped, strings.TrimSpace(loud))
	}
	return p.out.Flush()
}

func (p *printer) line(line string) {
	var e event
	if json.Unmarshal([]byte(line), &e) != nil {
		p.print(line) // of the go command itself
		return
	}
	at := name{e.Package, e.Test}
	switch {
	case e.Action == "build-output":
		p.print(e.Output)
	case e.Action == "output":
		p.output(at, e.Output)
	case e.Action == "fail" && e.Test == "":
		p.failed(e.Package)
	case e.Action == "fail":
		p.print(p.kept[at])
		delete(p.kept, at)
	case e.Action == "pass" || e.Action == "skip":
		if e.Test == "" {
			p.print(verdict(p.kept[at]))
		}
		delete(p.kept, at)
	}
}

// output keeps a piece of output, and prints the reason of a skip at once.
func (p *printer) output(at name, text string) {
	if _, reason, found := strings.Cut(text, loud); found && !strings.HasPrefix(strings.TrimSpace(text), "--- "+loud) {
		p.skipped++
		p.print(loud + at.pkg + " " + at.test + ": " + reason)
	}
	for _, marker := range []string{"=== RUN", "=== PAUSE", "=== CONT", "=== NAME"} {
		if strings.HasPrefix(text, marker) {
			return
		}
	}
	all := p.kept[at] + text
	p.kept[at] = all[max(0, len(all)-maxKept):]
}

// failed prints what a package that failed has said, and its tests that did not come to their end: it may have died in them.
func (p *printer) failed(pkg string) {
	for at, text := range p.kept {
		if at.pkg == pkg && at.test != "" {
			p.print(text)
			delete(p.kept, at)
		}
	}
	p.print(p.kept[name{pkg, ""}])
	delete(p.kept, name{pkg, ""})
}

// verdict is the line of a package that passed, or has no tests.
func verdict(text string) string {
	for line := range strings.Lines(text) {
		if strings.HasPrefix(line, "ok ") || strings.HasPrefix(line, "? ") {
			return line
		}
	}
	return ""
}

func (p *printer) print(text string) {
	if text != "" && !strings.HasSuffix(text, "\n") {
		text += "\n"
	}
	p.out.WriteString(text) // an error stays in the writer, and Flush gives it
}
