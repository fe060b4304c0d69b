// Package inprocess asks an HTTP handler of the same process.
package inprocess

import (
	"bytes"
	"net/http"
)

// Response is what a handler answered.
type Response struct {
	Status int
	Body   bytes.Buffer
}

// Ask has h serve a request, and returns the answer.
func Ask(h http.Handler, r *http.Request) *Response {
	w := &writer{header: make(http.Header), response: Response{Status: http.StatusOK}}
	h.ServeHTTP(w, r)
	return &w.response
}

// writer keeps an answer.
type writer struct {
	header   http.Header
	response Response
}

func (w *writer) Header() http.Header { return w.header }

func (w *writer) WriteHeader(status int) { w.response.Status = status }

func (w *writer) Write(text []byte) (int, error) { return w.response.Body.Write(text) }

// StatusWriter keeps the status of an answer, and nothing else of it.
type StatusWriter struct {
	Status int // 0: there was no answer

	header http.Header
}

// NewStatusWriter returns a writer for one answer.
func NewStatusWriter() *StatusWriter { return &StatusWriter{header: make(http.Header)} }

// Header implements http.ResponseWriter.
func (w *StatusWriter) Header() http.Header { return w.header }

// WriteHeader implements http.ResponseWriter. Informational answers do not count.
func (w *StatusWriter) WriteHeader(status int) {
	if w.Status == 0 && status >= http.StatusOK {
		w.Status = status
	}
}

// Write implements http.ResponseWriter.
func (w *StatusWriter) Write(p []byte) (int, error) {
	w.WriteHeader(http.StatusOK)
	return len(p), nil
}
