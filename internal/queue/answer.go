package queue

import (
	"cmp"
	"context"
	"net/http"
	"strconv"
	"strings"

	"github.com/caddy-instagram/webhooks/internal/sanitize"
)

// answer is the http.ResponseWriter of an attempt. It keeps only what is needed to
// judge the attempt.
type answer struct {
	ctx    context.Context // of the attempt
	header http.Header

	status     int   // 0: no answer yet
	late       bool  // it came when the attempt was over: it is not the backend's
	keep       bool  // how the body begins
	promised   int64 // length of the body; 0: not known
	written    int64
	retryAfter string
	location   string
	text       []byte // how the body begins, if keep
}

func newAnswer(ctx context.Context, keep bool) *answer {
	return &answer{ctx: ctx, header: make(http.Header), keep: keep}
}

// How much of a body is kept, in bytes.
const (
	maxText   = 256     // for the text of an error
	maxAnswer = 1 << 10 // for the Store
)

// Header implements http.ResponseWriter.
func (a *answer) Header() http.Header { return a.header }

// WriteHeader implements http.ResponseWriter.
func (a *answer) WriteHeader(status int) {
	if a.status != 0 || 100 <= status && status < 200 && status != http.StatusSwitchingProtocols {
		return
	}
	if status < 100 || status > 999 {
		status = http.StatusBadGateway
	}
	a.status = status
	a.late = a.ctx.Err() != nil
	a.retryAfter = a.header.Get("Retry-After")
	a.location = a.header.Get("Location")
	if status != http.StatusNoContent {
		a.promised, _ = strconv.ParseInt(a.header.Get("Content-Length"), 10, 64)
	}
}

// Write implements http.ResponseWriter.
func (a *answer) Write(p []byte) (int, error) {
	if a.status == 0 {
		a.WriteHeader(http.StatusOK)
	}
	a.written += int64(len(p))
	if free := maxAnswer - len(a.text); a.keep && free > 0 {
		a.text = append(a.text, p[:min(free, len(p))]...)
	}
	return len(p), nil
}

// note notes in the result of the attempt what the backend has answered.
func (a *answer) note(r *result) {
	if a.late && r.reason != "" {
		r.Status = r.status
		return
	}
	if r.Status = cmp.Or(r.status, a.status); a.keep {
		r.Answer = a.text
	}
}

// Flush implements http.Flusher. As on a connection, it sends the header.
func (a *answer) Flush() {
	if a.status == 0 {
		a.WriteHeader(http.StatusOK)
	}
}

func (a *answer) ok() bool { return a.status/100 == 2 }

// whole reports whether the body is as long as promised.
func (a *answer) whole() bool { return a.written >= a.promised }

// error says in words what a status that is no success told: how the body begins, if
// that is kept. The body of a redirect tells less than its Location, and holds the query
// of it.
func (a *answer) error() string {
	text := ""
	if a.header.Get("Content-Encoding") == "" && a.status/100 != 3 {
		text = sanitize.OneLine(string(a.text[:min(len(a.text), maxText)]))
	}
	if text == "" {
		text = describe(a.status, a.location)
	}
	return strings.TrimSuffix(strconv.Itoa(a.status)+": "+text, ": ")
}

// cause is error without the body, for logs.
func (a *answer) cause() string {
	return strings.TrimSpace("answered " + strconv.Itoa(a.status) + " " + describe(a.status, a.location))
}

// Interface guards
var _ http.Flusher = (*answer)(nil)
