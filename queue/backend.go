package queue

import (
	"errors"
	"net/http"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"

	"github.com/caddy-instagram/webhooks/event"
)

// backend returns the routes as an http.Handler, for requests that did not come
// through a server.
func (q *queue) backend() http.Handler {
	server, _ := q.ctx.Value(caddyhttp.ServerCtxKey).(*caddyhttp.Server)
	if server == nil {
		server = new(caddyhttp.Server)
	}
	routes := q.handler.Routes.Compile(caddyhttp.HandlerFunc(untaken))
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		repl := caddy.NewReplacer()
		if d := event.FromContext(r.Context()); d != nil {
			repl.Map(d.Lookup)
		}
		r = caddyhttp.PrepareRequest(r, repl, w, server)
		if err := routes.ServeHTTP(w, r); err != nil {
			fail(w, err)
		}
	})
}

// fail answers with the status of an error, as Caddy does.
func fail(w http.ResponseWriter, err error) {
	status := http.StatusInternalServerError
	var handled caddyhttp.HandlerError
	if errors.As(err, &handled) {
		if handled.StatusCode != 0 {
			status = handled.StatusCode
		}
		if handled.Err != nil {
			err = handled.Err
		}
	}
	http.Error(w, err.Error(), status)
}

// untaken ends the routes. An empty 200 counts only if a handler took the event.
func untaken(w http.ResponseWriter, r *http.Request) error {
	if d := event.FromContext(r.Context()); d != nil && d.Accepted() {
		w.WriteHeader(http.StatusOK)
		return nil
	}
	return caddyhttp.Error(http.StatusNotFound,
		errors.New("no handler took the event: put reverse_proxy, php_fastcgi, instagram_file or respond into instagram_queue, for all events"))
}
