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
