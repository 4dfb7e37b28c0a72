package status

import (
	"bytes"
	"flag"
	"fmt"
	"os"
	"testing"

	"supercluster/internal/fault"
)

var update = flag.Bool("update", false, "write docs/errors.md from the table")

const docsPath = "../../docs/errors.md"

// docs/errors.md is this table for people.
func TestDocs_ListEveryKind(t *testing.T) {
	want := page()
	if *update {
		if err := os.WriteFile(docsPath, want, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	got, err := os.ReadFile(docsPath)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, want) {
		t.Error("docs/errors.md is not what the table says: go test ./api/status -update")
	}
}

func page() []byte {
	var b bytes.Buffer
	b.WriteString(`# Errors

Every error has a kind. Programs decide by the kind, people read the message; both are the same over gRPC, HTTP and on
the command line. This page is made from the table in ` + "`api/status`" + ` (` + "`go test ./api/status -update`" + `).

| kind | retry | gRPC code | HTTP | exit code | what it means and what to do |
|---|---|---|---|---|---|
`)
	for _, k := range fault.Kinds() {
		retry := "no"
		if k.Retryable() {
			retry = "yes"
		}
		row := Of(k)
		fmt.Fprintf(&b, "| `%s` | %s | `%s` | %d | %d | %s |\n", k, retry, row.Code, row.HTTP, row.Exit, row.Help)
	}
	b.WriteString(`
Exit code 0 is success. Over HTTP, a failed ` + "`If-Match` or `If-None-Match`" + ` is 412 instead of 409.

## Over gRPC

A ` + "`google.rpc.Status`" + ` with details: ` + "`ErrorInfo`" + ` (reason = the kind, domain ` + "`supercluster`" + `, metadata ` + "`revision` and `hint`" + ` where there is
one), ` + "`BadRequest`" + ` with the field that is wrong, ` + "`RetryInfo`" + ` with the time to wait, ` + "`RequestInfo`" + ` with the request id.

## Over HTTP

` + "```json" + `
{"kind": "conflict", "message": "config \"app\" is at revision 9, expected was 7", "field": "", "hint": "read it again, then retry", "revision": "9", "request_id": "5f0c…"}
` + "```" + `

` + "`field`, `hint`, `revision` and `retry_after_seconds`" + ` are left out when there is nothing to say. ` + "`Retry-After`" + ` is set where a time to wait is
known. A watch that fails after its first line ends with the line ` + "`{\"error\": {...}}`" + `.

## Writes without an answer

A write whose answer was lost is ` + "`outcome-unknown`" + `: it may have been applied. A write that carried ` + "`options.request_id`" + ` can be sent again with the
same id and is applied once; one without is read back to find out. The ` + "`X-Request-Id`" + ` header (metadata ` + "`x-request-id`" + ` over gRPC) ties a call to the
server's log and guards nothing.
`)
	return b.Bytes()
}
