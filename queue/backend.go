package queue

import (
	"errors"
	"net/http"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"

	"github.com/caddy-instagram/webhooks/event"
)

// backend returns the routes for requests that did not come through a server.
func (q *queue) backend() Backend {
	server, _ := q.ctx.Value(caddyhttp.ServerCtxKey).(*caddyhttp.Server)
	if server == nil {
		server = new(caddyhttp.Server)
	}
	routes := q.handler.Routes.Compile(caddyhttp.HandlerFunc(untaken))
	return func(w http.ResponseWriter, r *http.Request) error {
		repl := caddy.NewReplacer()
		if d := event.FromContext(r.Context()); d != nil {
			repl.Map(d.Lookup)
		}
		r = caddyhttp.PrepareRequest(r, repl, w, server)
		if o, ok := r.Context().Value(originKey{}).(*origin); ok {
			o.setVars(r.Context())
		}
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
func failureOf(err error) *Failure {
	f := &Failure{Status: http.StatusInternalServerError, Err: err}
	if errors.Is(err, errUntaken) {
		// What the status means is not the event's fault.
		return &Failure{Reason: reasonUntaken, Err: errUntaken}
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

var errUntaken = errors.New("no handler took the event: put reverse_proxy, php_fastcgi, instagram_file or respond into instagram_queue, for all events")

// untaken ends the routes. An empty 200 counts only if a handler took the event.
func untaken(w http.ResponseWriter, r *http.Request) error {
	if d := event.FromContext(r.Context()); d != nil && d.Accepted() {
		w.WriteHeader(http.StatusOK)
		return nil
	}
	return caddyhttp.Error(http.StatusNotFound, errUntaken)
}
