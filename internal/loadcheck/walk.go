package loadcheck

import (
	"slices"

	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp/intercept"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp/requestbody"

	"github.com/caddy-instagram/webhooks/file"
	"github.com/caddy-instagram/webhooks/handler"
	"github.com/caddy-instagram/webhooks/queue"
	"github.com/caddy-instagram/webhooks/signedrequest"
)

// walk follows requests through the routes of a server.
type walk struct {
	name     string
	server   *caddyhttp.Server
	findings []finding
	webhooks map[*handler.Handler]bool // that were found
	paths    [][][]string              // of the webhooks: the flow.paths of each

	takers map[string]bool // the named routes that may take a delivery

	// What is known of named routes, so that each is followed once.
	hiding  memo[namedAt, judgment] // whether they hide failures
	leaving memo[invocation, known] // what is known of the requests that leave them
}

// follow walks through all routes of a server.
func follow(name string, server *caddyhttp.Server) *walk {
	w := &walk{
		name: name, server: server, webhooks: make(map[*handler.Handler]bool),
		takers: make(map[string]bool), hiding: make(memo[namedAt, judgment]), leaving: make(memo[invocation, known]),
	}
	w.findTakers()
	w.routes(server.Routes, flow{})
	w.fullDuplex()
	if server.Errors != nil {
		// They run for errors behind a webhook too.
		w.routes(server.Errors.Routes, flow{known: known{authentic: len(w.webhooks) > 0}, failed: true})
	}
	return w
}

// memo remembers what was computed for a key.
type memo[K comparable, V any] map[K]V

// get returns the value for key, and computes it the first time. If that needs the value itself, because named routes
// invoke each other in a circle, it gets meanwhile.
func (m memo[K, V]) get(key K, meanwhile V, compute func() V) V {
	if value, ok := m[key]; ok {
		return value
	}
	m[key] = meanwhile
	m[key] = compute()
	return m[key]
}

// known is what is known of the requests that come to a point of the routes.
type known struct {
	authentic bool    // a webhook may have passed some of them on
	delivery  bool    // and these may come here, as far as paths and methods tell
	limit     int64   // of request_body, in bytes; 0: none
	hidden    verdict // whether an intercept before the webhook answers failures with success
	masked    verdict // whether an intercept behind it does
	ended     bool    // there are no requests: instagram_queue has ended all of them
}

// flow is what is known of the requests that come to a point of the routes, and of that point.
type flow struct {
	known
	route  []string   // what they have matched, for people to read
	paths  [][]string // the paths among that, of each route
	taken  bool       // something behind it may take a delivery
	failed bool       // it is in an error route of the server
}

// invocation is a named route and what is known of the requests that come to it.
type invocation struct {
	name string
	known
	taken, failed bool
}

// routes follows requests through a list, and returns what is known of those that leave it.
func (w *walk) routes(list caddyhttp.RouteList, in flow) known {
	out := in.known
	// The groups of routes with a webhook, "" for those without a group: whether deliveries leave them.
	webhookGroups := make(map[string]bool)
	for i := range list {
		route := &list[i]
		if out.ended {
			w.neverRuns(flow{route: in.route}, directHandlers(list[i:]))
			break
		}
		here := in
		here.known = out
		here.route = describe(in.route, route)
		if paths := pathsOf(route); len(paths) > 0 {
			here.paths = append(slices.Clip(in.paths), paths)
		}
		// A request that comes here has matched no other route of the group.
		here.authentic, here.delivery = in.authentic, in.delivery
		for group, delivery := range webhookGroups {
			if !sameGroup(group, route) {
				here.authentic, here.delivery = true, here.delivery || delivery
			}
		}
		here.delivery = here.delivery && mayBeDelivery(route, w.paths)
		here.taken = !route.Terminal && (in.taken || slices.ContainsFunc(list[i+1:], func(later caddyhttp.Route) bool {
			return !sameGroup(later.Group, route) && w.mayTake(later.Handlers)
		}))
		w.matchers(route, here)
		left := w.handlers(route.Handlers, here)
		if left.authentic && !route.Terminal {
			webhookGroups[route.Group] = webhookGroups[route.Group] || left.delivery
			out.authentic, out.delivery = true, out.delivery || left.delivery
		}
		if alwaysRuns(list[:i], route) {
			out.ended, out.limit, out.hidden, out.masked = left.ended, left.limit, left.hidden, left.masked
		}
	}
	return out
}

// sameGroup reports whether a request that matches a route of the group does not come to this route.
func sameGroup(group string, route *caddyhttp.Route) bool { return group != "" && group == route.Group }

// alwaysRuns reports whether all requests that come to a route go through it.
func alwaysRuns(before caddyhttp.RouteList, route *caddyhttp.Route) bool {
	return len(route.MatcherSets) == 0 &&
		!slices.ContainsFunc(before, func(earlier caddyhttp.Route) bool { return sameGroup(earlier.Group, route) })
}

// handlers follows requests through the handlers of a route.
func (w *walk) handlers(list []caddyhttp.MiddlewareHandler, in flow) known {
	out := in.known
	for i, h := range list {
		if out.ended {
			w.neverRuns(in, list[i:])
			break
		}
		here := in
		here.known, here.taken = out, in.taken || w.mayTake(list[i+1:])
		switch h := h.(type) {
		case *handler.Handler:
			w.webhook(h, here)
			out.authentic, out.delivery = true, !here.failed
		case *signedrequest.Handler:
			w.signedRequest(here)
			out.authentic = true
		case *file.Handler:
			w.consumer("instagram_file", here)
		case *queue.Handler:
			w.consumer("instagram_queue", here)
			w.queued(h, here)
			out = known{ended: true}
		case *caddyhttp.Subroute:
			out = w.routes(h.Routes, here)
			w.errors(h, here)
		case *caddyhttp.Invoke:
			out = w.invoke(h.Name, here)
		case *intercept.Intercept:
			out.hidden = max(out.hidden, w.hidesFailures(h.HandleResponse, around))
			if here.delivery {
				out.masked = max(out.masked, w.hidesFailures(h.HandleResponse, behind))
			}
		case *requestbody.RequestBody:
			if h.MaxSize > 0 && (out.limit == 0 || h.MaxSize < out.limit) {
				out.limit = h.MaxSize
			}
		default:
			w.application(h, here)
		}
	}
	return out
}

// invoke follows requests through a named route.
func (w *walk) invoke(name string, in flow) known {
	route := w.server.NamedRoutes[name]
	if route == nil {
		return in.known
	}
	return w.leaving.get(invocation{name, in.known, in.taken, in.failed}, in.known, func() known {
		return w.routes(caddyhttp.RouteList{*route}, in)
	})
}
