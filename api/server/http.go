package server

import (
	"context"
	"encoding/json"
	"net/http"
	"strconv"
	"strings"
	"time"

	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/peer"

	"supercluster/api/gen"
	"supercluster/api/status"
	"supercluster/internal/fault"
	"supercluster/registry/access"
)

// Bounds of an HTTP request. The body bound leaves room for the base64 of what the largest request may carry.
const (
	maxBody           = 4 << 20
	maxHeaderBytes    = 64 << 10
	readHeaderTimeout = 5 * time.Second
	idleTimeout       = 2 * time.Minute
)

// httpHandler is the one handler of the HTTP listener.
type httpHandler struct {
	s       *Server
	guard   *guard
	gateway http.Handler
}

func (s *Server) newHTTP() (http.Handler, error) {
	gateway, err := s.newGateway()
	if err != nil {
		return nil, err
	}
	return &httpHandler{s: s, guard: newGuard(s.cfg.Hosts), gateway: gateway}, nil
}

// ServeHTTP guards, names and bounds a request, then routes it. Routing is by hand: a ServeMux would redirect
// paths with dots, and a config entry's name must arrive as it was sent to be refused.
func (h *httpHandler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	id := cleanRequestID(r.Header.Get(requestIDHeader))
	if id == "" {
		id = mintRequestID()
	}
	header := w.Header()
	header.Set("X-Request-Id", id)
	header.Set("X-Content-Type-Options", "nosniff")
	if err := h.guard.check(r); err != nil {
		h.s.log.Warn("refused an HTTP request", "host", r.Host, "origin", r.Header.Get("Origin"), "request_id", id)
		writeError(w, r, err, id)
		return
	}
	r.Body = http.MaxBytesReader(w, r.Body, maxBody)
	ctx := context.WithValue(r.Context(), httpCallKey{}, &httpCall{requestID: id, header: r.Header})
	r = r.WithContext(withPeer(ctx, r))
	switch path := r.URL.Path; {
	case path == "/healthz":
		writeJSON(w, http.StatusOK, map[string]string{"status": "alive"})
	case path == "/readyz":
		h.readyz(w)
	case path == "/openapi.yaml" || path == "/api/v1/openapi.yaml":
		h.guarded(w, r, id, http.HandlerFunc(openAPI))
	case path == "/metrics" && h.s.cfg.Metrics != nil:
		h.guarded(w, r, id, h.s.cfg.Metrics)
	case path == "/api/v1/watch" && r.Method == http.MethodGet:
		h.s.watchHTTP(w, r)
	case strings.HasPrefix(path, "/api/v1/"):
		h.api(w, r)
	default:
		writeError(w, r, fault.New(fault.NotFound, "there is nothing at %s", path).
			WithHint("the API is under /api/v1, its description at /openapi.yaml"), id)
	}
}

// api passes a request to the gateway. HEAD is GET without the body, which net/http leaves out by itself.
func (h *httpHandler) api(w http.ResponseWriter, r *http.Request) {
	if r.Method == http.MethodHead {
		r = r.Clone(r.Context())
		r.Method = http.MethodGet
	}
	if noneMatch := r.Header.Get("If-None-Match"); noneMatch != "" && r.Method == http.MethodGet {
		w = &notModified{ResponseWriter: w, noneMatch: noneMatch}
	}
	h.gateway.ServeHTTP(w, r)
}

// guarded serves what is no method of the API, to those who may see the region's status.
func (h *httpHandler) guarded(w http.ResponseWriter, r *http.Request, id string, next http.Handler) {
	p, err := h.s.cfg.Principal(r.Context())
	if err == nil {
		err = decide(&call{principal: p}, access.Request{Verb: access.VerbGet, Kind: access.KindCluster, Name: r.URL.Path})
	}
	if err != nil {
		writeError(w, r, err, id)
		return
	}
	next.ServeHTTP(w, r)
}

func (h *httpHandler) readyz(w http.ResponseWriter) {
	reasons := h.s.notReady()
	select {
	case <-h.s.stopping:
		reasons = append(reasons, "this node is stopping")
	default:
	}
	if len(reasons) == 0 {
		writeJSON(w, http.StatusOK, map[string]any{"status": "ready"})
		return
	}
	writeJSON(w, http.StatusServiceUnavailable, map[string]any{"status": "not ready", "reasons": reasons})
}

func openAPI(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "application/yaml")
	// A client that went away needs no answer.
	_, _ = w.Write(gen.OpenAPI)
}

// withPeer shows the chain the client's certificate where gRPC would.
func withPeer(ctx context.Context, r *http.Request) context.Context {
	p := &peer.Peer{}
	if r.TLS != nil {
		p.AuthInfo = credentials.TLSInfo{State: *r.TLS}
	}
	return peer.NewContext(ctx, p)
}

func writeJSON(w http.ResponseWriter, code int, body any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(code)
	// A client that went away needs no answer.
	_ = json.NewEncoder(w).Encode(body)
}

// writeError answers with an error in its HTTP form.
func writeError(w http.ResponseWriter, r *http.Request, err error, id string) {
	body := status.NewBody(status.FromGRPC(err), id)
	code := status.HTTP(fault.KindOf(status.FromGRPC(err)))
	if kind, _ := fault.KindNamed(body.Kind); conditionFailed(r, kind) {
		code = http.StatusPreconditionFailed
	}
	if body.RetryAfterSeconds > 0 {
		w.Header().Set("Retry-After", strconv.FormatInt(body.RetryAfterSeconds, 10))
	}
	writeJSON(w, code, body)
}

// conditionFailed reports whether the error is the answer to a condition in the request's header.
func conditionFailed(r *http.Request, kind fault.Kind) bool {
	return kind == fault.Conflict && r.Header.Get("If-Match") != "" ||
		kind == fault.Exists && r.Header.Get("If-None-Match") != ""
}
