package handler

import (
	"bufio"
	"io"
	"net"
	"net/http"

	"github.com/caddyserver/caddy/v2/modules/caddyhttp"

	"github.com/caddy-instagram/webhooks/event"
	"github.com/caddy-instagram/webhooks/internal/httperror"
)

// recorder passes a response on, remembers what the access log tells of it, and
// sees to its status. It is Caddy's ResponseRecorder without the buffer, as a
// part of an exchange.
type recorder struct {
	caddyhttp.ResponseWriterWrapper
	status int // 0: nothing is written
	size   int

	// held is the status of an error: it stands where an error route writes one
	// below 400. 0: there is no error.
	held int

	// delivery may have failed without an error that comes this far. It is nil
	// for what is not authentic.
	delivery *event.Delivery

	accept2xx bool // any 2xx becomes 200
	drop      bool // the body, as the status that it was written for allows none
}

// WriteHeader writes the header once, after any number of 1xx responses. It
// implements http.ResponseWriter.
func (w *recorder) WriteHeader(status int) {
	if w.written() {
		return
	}
	w.status = w.replace(status)
	if w.status != status && isBodiless(status) {
		w.Header().Del("Content-Length") // as with 304, of a body that does not come
		w.drop = w.status == http.StatusOK
	}
	w.ResponseWriter.WriteHeader(w.status)
}

// replace returns the status to write in place of one.
func (w *recorder) replace(status int) int {
	if w.held == 0 && w.delivery != nil && w.delivery.Failure() != nil {
		w.held = httperror.Status(w.delivery.Failure())
	}
	switch {
	case status/100 == 1 && status != http.StatusSwitchingProtocols:
		return status // another one follows
	case w.held != 0 && status < http.StatusBadRequest:
		return w.held
	case status == http.StatusSwitchingProtocols:
		return http.StatusBadGateway // see Hijack
	case w.accept2xx && status/100 == 2:
		return http.StatusOK
	}
	return status
}

// isBodiless reports whether a response of that status has no body.
func isBodiless(status int) bool {
	return status == http.StatusNoContent || status == http.StatusResetContent || status == http.StatusNotModified
}

// written reports whether there is a response that ends the request.
func (w *recorder) written() bool { return w.status >= http.StatusOK }

// Write writes the body, and the header before it. It implements io.Writer.
func (w *recorder) Write(p []byte) (int, error) {
	w.WriteHeader(http.StatusOK)
	if w.drop {
		return len(p), nil
	}
	n, err := w.ResponseWriter.Write(p)
	w.size += n
	return n, err
}

// ReadFrom is Write for a reader. It implements io.ReaderFrom.
func (w *recorder) ReadFrom(r io.Reader) (int64, error) {
	w.WriteHeader(http.StatusOK)
	if w.drop {
		return io.Copy(io.Discard, r)
	}
	n, err := w.ResponseWriterWrapper.ReadFrom(r)
	w.size += int(n)
	return n, err
}

// FlushError flushes what is written. Without it, an http.ResponseController
// would write a header of 200 past this recorder.
func (w *recorder) FlushError() error {
	if !w.written() {
		return nil
	}
	return http.NewResponseController(w.ResponseWriter).Flush()
}

// Hijack implements http.Hijacker, and never hands the connection over: nobody
// would know what was answered on it.
func (*recorder) Hijack() (net.Conn, *bufio.ReadWriter, error) { return nil, nil, http.ErrNotSupported }
