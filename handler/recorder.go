package handler

import (
	"io"
	"net/http"

	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
)

// recorder passes a response on and remembers what the access log tells of it.
// It is Caddy's ResponseRecorder without the buffer, as a part of an entry.
type recorder struct {
	caddyhttp.ResponseWriterWrapper
	status int // 0: nothing is written
	size   int
}

// WriteHeader writes the header once, after any number of 1xx responses. It
// implements http.ResponseWriter.
func (w *recorder) WriteHeader(status int) {
	if w.written() {
		return
	}
	w.status = status
	w.ResponseWriter.WriteHeader(status)
}

// written reports whether there is a response that ends the request.
func (w *recorder) written() bool { return w.status >= http.StatusOK }

// Write writes the body, and the header before it. It implements io.Writer.
func (w *recorder) Write(p []byte) (int, error) {
	w.WriteHeader(http.StatusOK)
	n, err := w.ResponseWriter.Write(p)
	w.size += n
	return n, err
}

// ReadFrom is Write for a reader. It implements io.ReaderFrom.
func (w *recorder) ReadFrom(r io.Reader) (int64, error) {
	w.WriteHeader(http.StatusOK)
	n, err := w.ResponseWriterWrapper.ReadFrom(r)
	w.size += int(n)
	return n, err
}

// FlushError flushes what is written. Without it, an http.ResponseController
// would write a header past this recorder.
func (w *recorder) FlushError() error {
	if w.status == 0 {
		return nil
	}
	return http.NewResponseController(w.ResponseWriter).Flush()
}
