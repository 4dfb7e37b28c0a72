package health

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strings"
	"time"

	pb "supercluster/api/gen/supercluster/v1"
)

// Limits of what an HTTP check reads, so that no answer can cost much memory or time.
const (
	maxHTTPHead = 32 << 10
	maxHTTPBody = 16 << 10
	shownBody   = 200
)

// httpLink is a connection kept open between probes. It has no goroutine, unlike one of net/http's transport: ten
// thousand idle checks cost ten thousand sockets and nothing else.
type httpLink struct {
	conn   net.Conn
	limit  io.LimitedReader
	reader *bufio.Reader
}

func (l *httpLink) Close() error { return l.conn.Close() }

func (p prober) http(ctx context.Context, t target, kept io.Closer) outcome {
	request, err := httpRequest(t)
	if err != nil {
		return failed("HTTP GET http://%v%s: %v", t.addr, t.path, err)
	}
	if l, ok := kept.(*httpLink); ok {
		// The server may have closed a kept connection since; that is no failure, so it is tried again on a new one.
		out, answered := exchange(ctx, t, l, request)
		if answered {
			return out
		}
		_ = l.Close()
	}
	conn, err := p.dial(ctx, t.addr.String())
	if err != nil {
		return failed("HTTP GET http://%v%s: %s", t.addr, t.path, reason(ctx, t, err))
	}
	l := &httpLink{conn: conn}
	l.limit.R = conn
	l.reader = bufio.NewReaderSize(&l.limit, 1<<10)
	out, answered := exchange(ctx, t, l, request)
	if !answered {
		_ = l.Close()
	}
	return out
}

// httpRequest writes the request as bytes. net/http escapes and checks it, so that no path can smuggle a header.
func httpRequest(t target) ([]byte, error) {
	path := t.path
	if path == "" {
		path = "/"
	}
	req, err := http.NewRequest(http.MethodGet, "http://"+t.addr.String()+path, http.NoBody)
	if err != nil {
		return nil, err
	}
	if t.host != "" {
		req.Host = t.host
	}
	req.Header.Set("User-Agent", "supercluster-health/1")
	req.Header.Set("Accept", "*/*")
	var b bytes.Buffer
	if err := req.Write(&b); err != nil {
		return nil, err
	}
	return b.Bytes(), nil
}

// exchange sends the request and judges the answer. answered is false when not a byte came back; the link is then of
// no use. A link that may be used again is in the outcome; any other is closed.
func exchange(ctx context.Context, t target, l *httpLink, request []byte) (out outcome, answered bool) {
	deadline, _ := ctx.Deadline()
	_ = l.conn.SetDeadline(deadline)
	stop := context.AfterFunc(ctx, func() { _ = l.conn.SetDeadline(time.Unix(1, 0)) })
	defer stop()
	fail := func(err error) outcome {
		if !time.Now().Before(deadline) {
			err = os.ErrDeadlineExceeded // what was read until then is not to blame
		}
		return failed("HTTP GET http://%v%s: %s", t.addr, t.path, reason(ctx, t, err))
	}
	l.limit.N = maxHTTPHead + maxHTTPBody
	if _, err := l.conn.Write(request); err != nil {
		return fail(err), false
	}
	if _, err := l.reader.Peek(1); err != nil {
		if errors.Is(err, io.EOF) {
			err = errors.New("the server closed the connection without an answer")
		}
		return fail(err), false
	}
	res, err := readResponse(l.reader)
	if err != nil {
		_ = l.Close()
		return fail(fmt.Errorf("not an HTTP answer: %w", err)), true
	}
	body, whole := readBody(res)
	out = judge(t, res, body)
	if whole && !res.Close && stop() {
		out.link = l
	} else {
		_ = l.Close()
	}
	return out, true
}

// readResponse reads the head of the answer, past a few informational ones.
func readResponse(r *bufio.Reader) (*http.Response, error) {
	get := &http.Request{Method: http.MethodGet}
	for range 4 {
		res, err := http.ReadResponse(r, get)
		if err != nil || res.StatusCode >= 200 || res.StatusCode == http.StatusSwitchingProtocols {
			return res, err
		}
	}
	return nil, errors.New("only informational answers")
}

// readBody reads the beginning of the body; whole tells whether that was all of it.
func readBody(res *http.Response) (body []byte, whole bool) {
	body, err := io.ReadAll(io.LimitReader(res.Body, maxHTTPBody+1))
	return body, err == nil && len(body) <= maxHTTPBody
}

// judge maps statuses as Consul does: 2xx passes, 429 warns, anything else is critical, redirects too.
func judge(t target, res *http.Response, body []byte) outcome {
	out := outcome{health: pb.Health_HEALTH_CRITICAL}
	note := ""
	switch {
	case res.StatusCode >= 200 && res.StatusCode < 300:
		out.health = pb.Health_HEALTH_PASSING
	case res.StatusCode == http.StatusTooManyRequests:
		out.health = pb.Health_HEALTH_WARNING
	case res.StatusCode >= 300 && res.StatusCode < 400:
		note = " (redirects are not followed)"
	}
	text := strings.TrimSpace(string(body[:min(len(body), shownBody)]))
	if text != "" {
		text = ": " + text
	}
	out.output = fmt.Sprintf("HTTP GET http://%v%s: %s%s%s", t.addr, t.path, res.Status, note, text)
	return out
}
