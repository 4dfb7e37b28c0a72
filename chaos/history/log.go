package history

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"sync"
	"time"
)

// maxLine bounds a line of a history file.
const maxLine = 16 << 20

// Log writes a history file while the run goes on. It may be used concurrently.
type Log struct {
	mu    sync.Mutex
	begin time.Time
	next  uint64
	out   *bufio.Writer
	file  io.Closer
	err   error
}

// Create starts a history file now.
func Create(path string) (*Log, error) {
	f, err := os.Create(path)
	if err != nil {
		return nil, fmt.Errorf("make the history file: %w", err)
	}
	return &Log{begin: time.Now(), out: bufio.NewWriterSize(f, 1<<16), file: f}, nil
}

// Now is the time in the history, in nanoseconds.
func (l *Log) Now() int64 { return int64(time.Since(l.begin)) }

// Invoke writes that a client asks, and gives the number of the operation. It is called before the request is sent.
func (l *Log) Invoke(client int, region, node string, c Call) uint64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.next++
	l.write(&Line{Type: Invoke, ID: l.next, Client: client, Region: region, Node: node, Call: &c})
	return l.next
}

// OK writes the answer of an operation. It is called after the answer came.
func (l *Log) OK(id uint64, node string, a Answer) {
	l.Add(Line{Type: OK, ID: id, Node: node, Answer: &a})
}

// Fail writes that an operation surely did not happen.
func (l *Log) Fail(id uint64, why error) { l.Add(Line{Type: Fail, ID: id, Text: text(why)}) }

// Unknown writes that nobody knows whether an operation happened.
func (l *Log) Unknown(id uint64, why error) { l.Add(Line{Type: Unknown, ID: id, Text: text(why)}) }

// Mark writes where the run stands.
func (l *Log) Mark(mark string) { l.Add(Line{Type: Marked, Text: mark}) }

func text(err error) string {
	if err == nil {
		return ""
	}
	return err.Error()
}

// Add writes any line; its time is now.
func (l *Log) Add(line Line) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.write(&line)
}

func (l *Log) write(line *Line) {
	line.At = int64(time.Since(l.begin))
	b, err := json.Marshal(line)
	if err == nil {
		_, err = l.out.Write(append(b, '\n'))
	}
	if l.err == nil {
		l.err = err
	}
}

// Close ends the file and says whether everything was written.
func (l *Log) Close() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	return errors.Join(l.err, l.out.Flush(), l.file.Close())
}

// Read reads a history file.
func Read(path string) ([]Line, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("read the history: %w", err)
	}
	defer f.Close()
	var lines []Line
	in := bufio.NewScanner(f)
	in.Buffer(make([]byte, 1<<16), maxLine)
	for in.Scan() {
		var line Line
		if err := json.Unmarshal(in.Bytes(), &line); err != nil {
			return nil, fmt.Errorf("line %d of %s is no history line: %w", len(lines)+1, path, err)
		}
		lines = append(lines, line)
	}
	if err := in.Err(); err != nil {
		return nil, fmt.Errorf("read %s: %w", path, err)
	}
	return lines, nil
}
