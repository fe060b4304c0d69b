// Package admin lets operators see and mend the queues, by Caddy's admin API.
package admin

import (
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/caddyserver/caddy/v2"

	"github.com/caddy-instagram/webhooks/queue"
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
// `POST /instagram/queue/check` | Looks for damage in the file of a store
// `POST /instagram/queue/compact` | Gives unused space of the file back
type API struct {
	// Stores returns the stores to work on. If it is nil, these are all that
	// are open in this process at the time of a request.
	Stores func() []Store `json:"-"`
}

// Store is an open store, as the admin API works on it.
type Store struct {
	queue.Store

	// Name tells the store from others.
	Name string

	// RefusingSince is when the store began to refuse deliveries; it is zero
	// while it accepts them.
	RefusingSince time.Time
}

// CaddyModule returns the Caddy module information.
func (*API) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{
		ID:  "admin.api.instagram",
		New: func() caddy.Module { return new(API) },
	}
}

// Routes returns the endpoints. They look for the stores at each request.
func (a *API) Routes() []caddy.AdminRoute {
	const root = "/instagram/queue"
	return []caddy.AdminRoute{
		a.route(root, endpoint{http.MethodGet, nil, a.status}),
		a.route(root+"/events", endpoint{http.MethodGet, []string{"state", "field", "account", "since", "after", "before", "order", "limit", "bodies"}, a.list}),
		a.route(root+"/events/{id}",
			endpoint{http.MethodGet, nil, a.show},
			endpoint{http.MethodDelete, nil, a.discard}),
		a.route(root+"/events/{id}/retry", endpoint{http.MethodPost, nil, a.retry}),
		a.route(root+"/retry", endpoint{http.MethodPost, []string{"state", "field", "account", "since", "rate", "dry_run"}, a.retryAll}),
		a.route(root+"/discard", endpoint{http.MethodPost, []string{"state", "field", "account", "since", "before", "limit", "dry_run"}, a.discardAll}),
		a.route(root+"/check", endpoint{http.MethodPost, nil, a.maintain(check)}),
		a.route(root+"/compact", endpoint{http.MethodPost, nil, a.maintain(compact)}),
	}
}

// endpoint is what a path does for a method. The parameter store is for all.
type endpoint struct {
	method     string
	parameters []string
	do         func(http.ResponseWriter, *request) error
}

// route makes endpoints the handler of a path.
func (a *API) route(pattern string, endpoints ...endpoint) caddy.AdminRoute {
	return caddy.AdminRoute{Pattern: pattern, Handler: caddy.AdminHandlerFunc(func(w http.ResponseWriter, r *http.Request) error {
		var allowed []string
		for _, e := range endpoints {
			if allowed = append(allowed, e.method); e.method != r.Method {
				continue
			}
			req, err := newRequest(r, e.parameters)
			if err == nil {
				err = e.do(w, req)
			}
			return apiError(err)
		}
		w.Header().Set("Allow", strings.Join(allowed, ", "))
		return refuse(http.StatusMethodNotAllowed, "the method here is %s", strings.Join(allowed, " or "))
	})}
}

// stores returns the stores to choose from.
func (a *API) stores() []Store {
	if a.Stores != nil {
		return a.Stores()
	}
	var all []Store
	for _, s := range queue.Stores() {
		all = append(all, Store{s.Store, s.Name(), s.RefusingSince()})
	}
	return all
}

// store returns the store that a request is for.
func (a *API) store(r *request) (Store, error) {
	all := a.stores()
	name, chosen := r.parameter("store")
	var names []string
	for _, s := range all {
		if chosen && s.Name == name || !chosen && len(all) == 1 {
			return s, nil
		}
		names = append(names, s.Name)
	}
	switch {
	case len(all) == 0:
		return Store{}, refuse(http.StatusNotFound, "no queue is open: the running config has no instagram_queue")
	case chosen:
		return Store{}, refuse(http.StatusNotFound, "there is no such store; open are: %s", strings.Join(names, ", "))
	default:
		return Store{}, refuse(http.StatusBadRequest, "several stores are open: choose one with the parameter store: %s", strings.Join(names, ", "))
	}
}

// refuse returns an error for the client.
func refuse(status int, format string, args ...any) error {
	return caddy.APIError{HTTPStatus: status, Err: fmt.Errorf(format, args...)}
}

// statuses are those of errors of a store.
var statuses = []struct {
	err    error
	status int
}{
	{queue.ErrNotFound, http.StatusNotFound},
	{queue.ErrLeased, http.StatusConflict},
	{queue.ErrClosed, http.StatusServiceUnavailable},
}

// apiError returns an error as Caddy shows it with the right status.
func apiError(err error) error {
	if err == nil {
		return nil
	}
	if refused, ok := errors.AsType[caddy.APIError](err); ok {
		return refused
	}
	status := http.StatusInternalServerError
	for _, s := range statuses {
		if errors.Is(err, s.err) {
			status = s.status
		}
	}
	return caddy.APIError{HTTPStatus: status, Err: err}
}

// Interface guards
var _ caddy.AdminRouter = (*API)(nil)
