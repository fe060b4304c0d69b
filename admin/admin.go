// Package admin adds endpoints to Caddy's admin API that show what is in the queues
// and repair what is wrong with them. It is there to be imported for the types of the
// answers.
package admin

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"strings"
	"time"

	"github.com/caddyserver/caddy/v2"
	"go.uber.org/zap"

	"github.com/caddy-instagram/webhooks/internal/live"
	"github.com/caddy-instagram/webhooks/internal/queue"
	queuehandler "github.com/caddy-instagram/webhooks/queue"
)

func init() {
	caddy.RegisterModule(new(API))
}

// API adds the queues of `instagram_queue` to Caddy's admin API: what is in
// them, and what can be done about it. It has no options.
//
// Endpoint | What it does
// ---------|-------------
// `GET /instagram/queue` | Shows how much is in each store
// `GET /instagram/queue/events` | Lists events, the newest or the oldest first
// `GET /instagram/queue/events/{id}` | Shows an event with its body
// `POST /instagram/queue/events/{id}/retry` | Makes an event pending again
// `DELETE /instagram/queue/events/{id}` | Forgets an event
// `POST /instagram/queue/retry` | Makes the selected events pending again
// `POST /instagram/queue/discard` | Forgets the selected events, page by page
// `POST /instagram/queue/forget` | Erases what the events hold of a person, an account or a message
// `POST /instagram/queue/pause` | Begins a pause of a consumer
// `POST /instagram/queue/resume` | Ends it
// `POST /instagram/queue/drop` | Forgets a consumer that left the config, and its events
// `POST /instagram/queue/check` | Looks for damage in the file of a store
// `POST /instagram/queue/backup` | Copies a store to a new file
// `POST /instagram/queue/compact` | Gives unused space of the file back
// `GET /instagram/overview` | Shows how queues, consumers, accounts and app secrets are doing
// `GET /instagram/refusals` | Lists the last requests that were refused
// `GET /instagram/events` | Lists events, those that are found within a moment
// `GET /instagram/events/{id}` | Shows an event with what is private in its body masked
// `POST /instagram/events/{id}/reveal` | Shows the body as it is, and logs that
// `GET /instagram/dead` | Lists the causes of dead letters
// `POST /instagram/check` | Examines a callback URL of the running config, without deliveries
// `GET /instagram/accounts` | Shows how the accounts are doing that are looked after
// `POST /instagram/accounts/check` | Looks at the accounts now, and shows how they are doing
// `POST /instagram/accounts/{account}/token` | Imports an access token, the body of the request
// `GET /instagram/live` | Tells what happens as it happens, as server-sent events
type API struct {
	// Stores returns the stores to work on. Default: all that are open in this
	// process at the time of a request.
	Stores func() []Store `json:"-"`

	// MaxBodies is how many bytes of bodies one answer lists, unless it is a
	// single body. Default: 8 MiB.
	MaxBodies int `json:"-"`

	// Feed is what happens. Default: that of this process.
	Feed *live.Feed `json:"-"`

	// Audit is told who reveals, exports, discards and erases events. Default: the logger
	// instagram.audit of this process.
	Audit *zap.Logger `json:"-"`
}

// Store is an open store, as the admin API works on it.
type Store struct {
	queue.Store

	// Name tells the store from others.
	Name string

	// RefusingSince is when the store began to refuse deliveries; it is zero
	// while it accepts them. Refusal is why it does, or would.
	RefusingSince time.Time
	Refusal       error

	// Running is the running config, as far as it uses the store. It is nil if the
	// server is stopped.
	Running Running
}

// Running is what delivers the events of a store.
type Running interface {
	// Consumers returns the names of the consumers in the config.
	Consumers() []string

	// Order returns which events a consumer gets one after the other, or "" if the config
	// does not have it.
	Order(consumer string) queue.Order

	// Pause does what that of the store does, and sees to it that no attempt begins.
	Pause(ctx context.Context, consumer string, paused bool) error

	// Drop does what that of the store does, unless the consumer is in the config.
	Drop(ctx context.Context, consumer string) error

	// Erase does what that of the store does, and sees to it that no attempt begins with
	// what was erased.
	Erase(ctx context.Context, e queue.Erasure) (int, error)
}

// CaddyModule returns the Caddy module information.
func (*API) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{
		ID:  "admin.api.instagram",
		New: func() caddy.Module { return new(API) },
	}
}

// The parameters that select events. All endpoints have the parameter store.
const (
	listing   = "consumer state field account conversation cause since"
	selection = listing + " id test echo failed"
	paging    = " before limit"
)

// Routes returns the endpoints. They look for the stores at each request.
func (a *API) Routes() []caddy.AdminRoute {
	const root = "/instagram/queue"
	return []caddy.AdminRoute{
		route("/instagram/overview", endpoint{http.MethodGet, "", a.overview}),
		route("/instagram/refusals", endpoint{http.MethodGet, "", a.refusals}),
		route("/instagram/events", endpoint{http.MethodGet, selection + paging, a.onStore(events)}),
		route("/instagram/events/{id}", endpoint{http.MethodGet, "consumer", a.onStore(detail)}),
		route("/instagram/events/{id}/reveal", endpoint{http.MethodPost, "", a.onStore(reveal)}),
		route("/instagram/accounts", endpoint{http.MethodGet, "", accounts}),
		route("/instagram/accounts/check", endpoint{http.MethodPost, "", checkAccounts}),
		route("/instagram/accounts/{account}/token", endpoint{http.MethodPost, "", importToken}),
		route("/instagram/dead", endpoint{http.MethodGet, "consumer", a.onStore(causes)}),
		route("/instagram/check", endpoint{http.MethodPost, "url", checkSite}),
		{Pattern: "/instagram/live", Handler: caddy.AdminHandlerFunc(a.watch)},
		route(root, endpoint{http.MethodGet, "consumer", a.status}),
		route(root+"/events", endpoint{http.MethodGet, listing + paging + " after order bodies", a.onStore(a.list)}),
		route(root+"/events/{id}",
			endpoint{http.MethodGet, "consumer", a.onStore(show)},
			endpoint{http.MethodDelete, "consumer", a.onStore(discard)}),
		route(root+"/events/{id}/retry", endpoint{http.MethodPost, "consumer", a.onStore(retry)}),
		route(root+"/retry", endpoint{http.MethodPost, selection + " rate dry_run", a.onStore(retryAll)}),
		route(root+"/discard", endpoint{http.MethodPost, selection + paging + " dry_run", a.onStore(discardAll)}),
		route(root+"/forget", endpoint{http.MethodPost, "user account message reason dry_run", a.onStore(forget)}),
		route(root+"/pause", endpoint{http.MethodPost, "consumer", a.onStore(pause(true))}),
		route(root+"/resume", endpoint{http.MethodPost, "consumer", a.onStore(pause(false))}),
		route(root+"/drop", endpoint{http.MethodPost, "consumer", a.onStore(drop)}),
		route(root+"/check", endpoint{http.MethodPost, "", a.onFile(check)}),
		route(root+"/backup", endpoint{http.MethodPost, "to", a.onFile(backup)}),
		route(root+"/compact", endpoint{http.MethodPost, "", a.onFile(compact)}),
	}
}

// Handler serves the endpoints without Caddy's admin listener, errors included.
func (a *API) Handler() http.Handler {
	mux := http.NewServeMux()
	for _, route := range a.Routes() {
		mux.HandleFunc(route.Pattern, func(w http.ResponseWriter, r *http.Request) {
			err := route.Handler.ServeHTTP(w, r)
			if err == nil {
				return
			}
			status := http.StatusInternalServerError
			if refused, ok := errors.AsType[caddy.APIError](err); ok {
				status = refused.HTTPStatus
			}
			w.WriteHeader(status)
			_ = json.NewEncoder(w).Encode(map[string]string{"error": err.Error()})
		})
	}
	return mux
}

// endpoint is what a path does for a method.
type endpoint struct {
	method     string
	parameters string // separated by spaces

	// do returns the answer, which is sent as JSON. A nil answer is sent as 204.
	do func(*request) (answer any, err error)
}

// route makes endpoints the handler of a path.
func route(pattern string, endpoints ...endpoint) caddy.AdminRoute {
	return caddy.AdminRoute{Pattern: pattern, Handler: caddy.AdminHandlerFunc(func(w http.ResponseWriter, r *http.Request) error {
		var allowed []string
		for _, e := range endpoints {
			if e.method == r.Method {
				return e.serve(w, r)
			}
			allowed = append(allowed, e.method)
		}
		w.Header().Set("Allow", strings.Join(allowed, ", "))
		return reject(http.StatusMethodNotAllowed, "the method here is %s", strings.Join(allowed, " or "))
	})}
}

func (e endpoint) serve(w http.ResponseWriter, r *http.Request) error {
	req, err := newRequest(r, e.parameters)
	if err != nil {
		return err
	}
	answer, err := e.do(req)
	if err != nil {
		return apiError(err)
	}
	if answer == nil {
		w.WriteHeader(http.StatusNoContent)
		return nil
	}
	text, isJSON := answer.(rawJSON)
	if !isJSON {
		if text, err = encode(answer); err != nil {
			return apiError(err)
		}
	}
	w.Header().Set("Content-Type", "application/json")
	_, _ = w.Write(append(text, '\n')) // nobody is left to be told
	return nil
}

// rawJSON is an answer that is JSON already. encoding/json would change bodies in it.
type rawJSON []byte

// onStore returns an endpoint's do that works on the store of the request, which has
// the consumer of the request, if that names one.
func (a *API) onStore(do func(Store, *request) (any, error)) func(*request) (any, error) {
	return func(r *request) (any, error) {
		store, err := a.store(r.query.Get("store"))
		if err == nil && r.consumer != "" {
			_, err = store.consumers(r.Context(), r.consumer)
		}
		if err != nil {
			return nil, err
		}
		r.log = a.Audit
		if r.log == nil {
			r.log = caddy.Log().Named("instagram.audit")
		}
		return do(store, r)
	}
}

// onFile is onStore for what looks after the file of a store.
func (a *API) onFile(do func(queue.Maintainer, *request) (any, error)) func(*request) (any, error) {
	return a.onStore(func(store Store, r *request) (any, error) {
		r.store = store.Name
		m, ok := store.Store.(queue.Maintainer)
		if !ok {
			return nil, badRequest("the store %s has no file to look after", store.Name)
		}
		return do(m, r)
	})
}

// stores returns the stores that can be worked on.
func (a *API) stores() []Store {
	if a.Stores != nil {
		return a.Stores()
	}
	var all []Store
	for _, s := range queuehandler.Stores() {
		all = append(all, Store{s.Store, s.Name(), s.RefusingSince(), s.Refusal(), s})
	}
	return all
}

// store returns the store with a name, or the only one if the name is empty.
func (a *API) store(name string) (Store, error) {
	all := a.stores()
	var names []string
	for _, s := range all {
		if s.Name == name || name == "" && len(all) == 1 {
			return s, nil
		}
		names = append(names, s.Name)
	}
	switch {
	case len(all) == 0:
		return Store{}, reject(http.StatusNotFound, "no queue is open: the running config has no instagram_queue")
	case name != "":
		return Store{}, reject(http.StatusNotFound, "there is no such store; open are: %s", strings.Join(names, ", "))
	default:
		return Store{}, badRequest("several stores are open: choose one with the parameter store: %s", strings.Join(names, ", "))
	}
}

// reject returns an error with a status for the client.
func reject(status int, format string, args ...any) error {
	return caddy.APIError{HTTPStatus: status, Err: fmt.Errorf(format, args...)}
}

func badRequest(format string, args ...any) error {
	return reject(http.StatusBadRequest, format, args...)
}

// apiError gives an error of a store its status.
func apiError(err error) error {
	if _, has := errors.AsType[caddy.APIError](err); has || err == nil {
		return err
	}
	status := http.StatusInternalServerError
	switch {
	case errors.Is(err, queue.ErrNotFound), errors.Is(err, queue.ErrNoConsumer):
		status = http.StatusNotFound
	case errors.Is(err, queue.ErrLeased), errors.Is(err, queuehandler.ErrInConfig), errors.Is(err, queue.ErrElsewhere), errors.Is(err, fs.ErrExist):
		status = http.StatusConflict
	case errors.Is(err, queue.ErrVersion):
		status = http.StatusNotImplemented
	case errors.Is(err, queue.ErrClosed), errors.Is(err, queue.ErrMigration):
		status = http.StatusServiceUnavailable
	}
	return caddy.APIError{HTTPStatus: status, Err: err}
}

// Interface guards
var (
	_ caddy.AdminRouter = (*API)(nil)
	_ caddy.Provisioner = (*API)(nil)
)
