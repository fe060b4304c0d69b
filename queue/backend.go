package queue

import (
	"errors"
	"net/http"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"

	"github.com/caddy-instagram/webhooks/event"
	"github.com/caddy-instagram/webhooks/internal/queue"
)

// prepare returns the request of an attempt as the server would pass it to its routes.
func (q *runner) prepare(w http.ResponseWriter, r *http.Request) *http.Request {
	repl := caddy.NewReplacer()
	if d := event.FromContext(r.Context()); d != nil {
		repl.Map(d.Lookup)
	}
	r = caddyhttp.PrepareRequest(r, repl, w, q.server)
	if o := queue.OriginFromContext(r.Context()); o != nil {
		setVars(r.Context(), o)
	}
	return r
}

// backend returns routes for requests that did not come through a server.
func (q *runner) backend(list caddyhttp.RouteList) queue.Backend {
	routes := list.Compile(caddyhttp.HandlerFunc(unhandled))
	return func(w http.ResponseWriter, r *http.Request) error {
		r = q.prepare(w, r)
		err := routes.ServeHTTP(w, r)
		if d := event.FromContext(r.Context()); err == nil && d != nil {
			err = d.Failure() // whoever answered for it
		}
		if err != nil {
			return failureOf(err)
		}
		return nil
	}
}

// failureOf returns an error of the routes with the status that Caddy would
// answer.
func failureOf(err error) *queue.Failure {
	f := &queue.Failure{Status: http.StatusInternalServerError, Err: err}
	if errors.Is(err, errUnhandled) {
		// What the status means is not the event's fault.
		return &queue.Failure{Reason: queue.ReasonUnhandled, Err: errUnhandled}
	}
	var handled caddyhttp.HandlerError
	if errors.As(err, &handled) {
		if handled.StatusCode != 0 {
			f.Status = handled.StatusCode
		}
		if f.Err = handled.Err; f.Err == nil {
			f.Err = errors.New(http.StatusText(f.Status))
		}
	}
	return f
}

var errUnhandled = errors.New("no handler took the event: put reverse_proxy, php_fastcgi, instagram_file or respond into instagram_queue, for all events")

// unhandled ends the routes. An empty 200 counts only if a handler took the event.
func unhandled(w http.ResponseWriter, r *http.Request) error {
	if d := event.FromContext(r.Context()); d != nil && d.Accepted() {
		w.WriteHeader(http.StatusOK)
		return nil
	}
	return caddyhttp.Error(http.StatusNotFound, errUnhandled)
}
