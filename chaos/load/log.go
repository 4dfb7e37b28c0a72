package load

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"strconv"
	"sync"
	"time"
)

// Log reads the outcomes that another process prints, which has the client inside itself: see SendGRPC.
type Log struct {
	path string

	mu       sync.Mutex
	read     int64 // bytes of whole lines
	outcomes []outcome
}

// ReadLog reads a file that is still written to.
func ReadLog(path string) *Log { return &Log{path: path} }

// line is one outcome as it is printed: when it was sent, 1 if it was answered, by whom or why not.
func line(o outcome) string {
	if o.ok {
		return fmt.Sprintf("outcome %d 1 %q\n", o.at.UnixNano(), o.backend)
	}
	return fmt.Sprintf("outcome %d 0 %q\n", o.at.UnixNano(), o.problem)
}

// parse reads a line; false: it is none, but something else that the process said.
func parse(text []byte) (o outcome, ok bool) {
	fields := bytes.SplitN(bytes.TrimSpace(text), []byte(" "), 4)
	if len(fields) != 4 || string(fields[0]) != "outcome" {
		return o, false
	}
	at, err := strconv.ParseInt(string(fields[1]), 10, 64)
	if err != nil {
		return o, false
	}
	said, err := strconv.Unquote(string(fields[3]))
	if err != nil {
		return o, false
	}
	o.at, o.ok = time.Unix(0, at), string(fields[2]) == "1"
	if o.ok {
		o.backend = said
	} else {
		o.problem = said
	}
	return o, true
}

// catchUp reads what was printed since. The mutex is held.
func (l *Log) catchUp() {
	file, err := os.Open(l.path)
	if err != nil {
		return // not there yet
	}
	defer file.Close()
	more, err := io.ReadAll(io.NewSectionReader(file, l.read, 64<<20))
	if err != nil {
		return
	}
	for {
		end := bytes.IndexByte(more, '\n')
		if end < 0 {
			return
		}
		if o, ok := parse(more[:end]); ok {
			l.outcomes = append(l.outcomes, o)
		}
		l.read += int64(end) + 1
		more = more[end+1:]
	}
}

// Between counts the calls sent in [from, to).
func (l *Log) Between(from, to time.Time) Counts {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.catchUp()
	return count(l.outcomes, from, to)
}

// Since counts the calls a backend answered from a moment on.
func (l *Log) Since(from time.Time, backend string) int {
	return l.Between(from, time.Now().Add(time.Hour)).Backends[backend]
}
