package loadcheck

import (
	"fmt"
	"slices"
	"strings"

	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp/intercept"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp/requestbody"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp/reverseproxy"
	"github.com/dustin/go-humanize"

	"github.com/caddy-instagram/webhooks/file"
	"github.com/caddy-instagram/webhooks/handler"
	"github.com/caddy-instagram/webhooks/queue"
)

// walk follows requests through the routes of a server.
type walk struct {
	name     string
	server   *caddyhttp.Server
	webhooks map[*handler.Handler]bool // that were come by
	paths    [][][]string              // of the webhooks: the flow.paths of each
	findings []finding
	told     map[finding]bool
	takers   map[string]bool // named routes that may take a delivery
	judged   map[namedAt]judgement

	// A named route is followed once for what is known of its requests.
	visited  map[visit]bool
	outcomes map[visit]outcome
	circular bool // the outcome of a visit under way was asked for
	changed  bool // an outcome is another than was known
}

func newWalk(name string, server *caddyhttp.Server) *walk {
	w := &walk{
		name: name, server: server, webhooks: make(map[*handler.Handler]bool),
		takers: make(map[string]bool), judged: make(map[namedAt]judgement), outcomes: make(map[visit]outcome),
	}
	w.findTakers()
	return w
}

func (w *walk) run() {
	// Named routes that invoke themselves are followed again, with what is known
	// of their outcome by then.
	for range len(w.server.NamedRoutes) + 1 {
		w.findings, w.told, w.paths = nil, make(map[finding]bool), nil
		w.visited, w.changed = make(map[visit]bool), false
		w.routes(w.server.Routes, flow{})
		if w.server.Errors != nil {
			// They are run for errors behind a webhook too.
			w.routes(w.server.Errors.Routes, flow{known: known{authentic: len(w.webhooks) > 0}, failed: true})
		}
		if !w.circular || !w.changed {
			return
		}
	}
}

// known is what is known of the requests at a place.
type known struct {
	authentic bool    // a webhook may have passed some of them on
	delivery  bool    // and these may come here, as far as paths and methods tell
	limit     int64   // of request_body, in bytes; 0: none
	hidden    verdict // whether an intercept before answers failures with success
	masked    verdict // the same of those behind the webhook only
}

// flow is what is known of the requests that come to a place.
type flow struct {
	known
	route  []string   // what they have matched
	paths  [][]string // the paths among that, of each route
	taken  bool       // something behind the place may take a delivery
	failed bool       // an error route of the server answers them
}

// outcome is what is known of the requests that leave a place.
type outcome struct {
	known
	ended bool // none does: instagram_queue ends them all
}

// visit is a named route and what is known of the requests that come to it.
type visit struct {
	name string
	known
	taken, failed bool
}

// routes follows requests through a list.
func (w *walk) routes(list caddyhttp.RouteList, in flow) outcome {
	out := outcome{known: in.known}
	passed := make(map[string]bool) // groups with a webhook, "" for what is in none: whether deliveries leave
	for i := range list {
		route := &list[i]
		if out.ended {
			w.neverRuns(flow{route: in.route}, directHandlers(list[i:]))
			break
		}
		here := in
		here.known = out.known
		here.route = describe(in.route, route)
		if paths := pathsOf(route); len(paths) > 0 {
			here.paths = append(slices.Clip(in.paths), paths)
		}
		// A request that comes here has matched no other route of the group.
		here.authentic, here.delivery = in.authentic, in.delivery
		for group, delivery := range passed {
			if group == "" || group != route.Group {
				here.authentic, here.delivery = true, here.delivery || delivery
			}
		}
		here.delivery = here.delivery && mayBeDelivery(route, w.paths)
		here.taken = !route.Terminal && (in.taken || slices.ContainsFunc(list[i+1:], func(later caddyhttp.Route) bool {
			return (later.Group == "" || later.Group != route.Group) && w.mayTake(later.Handlers)
		}))
		if !here.authentic && slices.ContainsFunc(route.MatcherSets, matchesEvents) {
			w.find(here, true, "the matcher instagram never matches here, as no request was authenticated: instagram_webhook must come before it")
		}
		left := w.handlers(route.Handlers, here)
		if left.authentic && !route.Terminal {
			passed[route.Group] = passed[route.Group] || left.delivery
			out.authentic, out.delivery = true, out.delivery || left.delivery
		}
		if alwaysRuns(list[:i], route) {
			out.ended, out.limit, out.hidden, out.masked = left.ended, left.limit, left.hidden, left.masked
		}
	}
	return out
}

// alwaysRuns reports whether all requests that come to a route go through it.
func alwaysRuns(before caddyhttp.RouteList, route *caddyhttp.Route) bool {
	return len(route.MatcherSets) == 0 && (route.Group == "" ||
		!slices.ContainsFunc(before, func(earlier caddyhttp.Route) bool { return earlier.Group == route.Group }))
}

// handlers follows requests through the handlers of a route.
func (w *walk) handlers(list []caddyhttp.MiddlewareHandler, in flow) outcome {
	out := outcome{known: in.known}
	for i, h := range list {
		here := in
		here.known, here.taken = out.known, in.taken || w.mayTake(list[i+1:])
		switch h := h.(type) {
		case *handler.Handler:
			w.webhook(h, here)
			out.authentic, out.delivery = true, !here.failed
		case *file.Handler:
			w.consumer("instagram_file", here)
		case *queue.Handler:
			w.consumer("instagram_queue", here)
			w.queued(h, here)
			out = outcome{ended: true}
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
			out.limit = tighter(out.limit, h.MaxSize)
		case requestbody.RequestBody:
			out.limit = tighter(out.limit, h.MaxSize)
		default:
			w.application(h, here)
		}
		if out.ended {
			if i+1 < len(list) {
				w.neverRuns(here, list[i+1:])
			}
			break
		}
	}
	return out
}

// tighter returns the smaller of two limits, of which 0 is none.
func tighter(a, b int64) int64 {
	if a == 0 || b > 0 && b < a {
		return b
	}
	return a
}

// invoke follows requests through a named route.
func (w *walk) invoke(name string, in flow) outcome {
	route := w.server.NamedRoutes[name]
	if route == nil {
		return outcome{known: in.known}
	}
	key := visit{name, in.known, in.taken, in.failed}
	out, done := w.outcomes[key]
	if w.visited[key] {
		if !done { // it is under way, for the first time
			w.circular = true
			return outcome{known: in.known}
		}
		return out
	}
	w.visited[key] = true
	out = w.routes(caddyhttp.RouteList{*route}, in)
	w.changed = w.changed || w.outcomes[key] != out
	w.outcomes[key] = out
	return out
}

// webhook looks at a webhook and what surrounds it.
func (w *walk) webhook(h *handler.Handler, here flow) {
	w.webhooks[h] = true
	w.paths = append(w.paths, here.paths)
	if !here.taken {
		w.find(here, false, "nothing behind instagram_webhook takes deliveries, so they are answered with 503: put instagram_queue, instagram_file, reverse_proxy, php_fastcgi or respond after it")
	}
	if h.ClientCert != nil && !w.asksForCertificates() {
		w.find(here, false, "client_cert demands a client certificate, but no TLS policy of this server asks for one, so all deliveries are refused: put client_auth { mode request } into the tls directive of the site, and let TLS end in Caddy")
	}
	if here.hidden != keeps {
		w.find(here, false, "an intercept around instagram_webhook "+here.hidden.answer("s")+" failures with success, so that Meta takes what was refused or lost for delivered: keep the status, by replace_status or {http.intercept.status_code}, or leave the callback URL out")
	}
	if here.limit > 0 && here.limit < h.MaxSize {
		w.find(here, false, fmt.Sprintf("request_body lets %s of a delivery through, less than max_size of instagram_webhook: what is larger is refused. Raise it, or lower max_size to it if this is meant",
			humanize.IBytes(uint64(here.limit))))
	}
}

// asksForCertificates reports whether some TLS connections of the server ask for a
// client certificate.
func (w *walk) asksForCertificates() bool {
	for _, policy := range w.server.TLSConnPolicies {
		if policy.ClientAuthentication != nil && policy.ClientAuthentication.Active() {
			return true
		}
	}
	return false
}

// consumer looks at a handler of authentic deliveries.
func (w *walk) consumer(directive string, here flow) {
	if !here.authentic {
		w.find(here, true, directive+" stands where no request was authenticated, so it answers 500 to all: instagram_webhook must come before it")
	}
}

// counted is what comes of failures that are answered with success, behind a
// webhook or in the block of a queue.
const counted = "failures with success, so that what failed counts as delivered and is never sent again: keep the status, "

// application looks at a handler that may hand deliveries to an application.
func (w *walk) application(h caddyhttp.MiddlewareHandler, here flow) {
	if !here.delivery || here.failed {
		return
	}
	if here.masked != keeps && mayFail(h) {
		w.find(here, false, fmt.Sprintf("an intercept before %s %s %sby {http.intercept.status_code}", directive(h), here.masked.answer("s"), counted))
	}
	if proxy, ok := h.(*reverseproxy.Handler); ok {
		if v := w.hidesFailures(proxy.HandleResponse, behind); v != keeps {
			w.find(here, false, "handle_response or replace_status of reverse_proxy "+v.answer("s")+" "+counted+"by copy_response or {rp.status_code}")
		}
	}
}

// errors follows requests through the error routes of a subroute.
func (w *walk) errors(h *caddyhttp.Subroute, here flow) {
	if h.Errors == nil {
		return
	}
	w.routes(h.Errors.Routes, flow{
		known: known{authentic: here.authentic || len(w.webhooks) > 0},
		route: here.route, paths: here.paths, failed: here.failed,
	})
	if !here.delivery || here.failed {
		return
	}
	if v, _ := w.given(h.Errors.Routes, errorRoutes); v != keeps {
		w.find(here, false, "the error routes of a subroute "+v.answer("")+" "+counted+"by {http.error.status_code}")
	}
}

// queued looks at what takes the events of a queue.
func (w *walk) queued(h *queue.Handler, here flow) {
	if here.failed && here.authentic {
		w.find(here, false, "instagram_queue stands in an error route and cannot make a success of a failure: Meta sends the delivery again. Put it where deliveries come first, and the application into its block")
	}
	if !w.anyTakes(h.Routes) {
		w.find(here, false, "nothing in the block of instagram_queue takes events, so that all of them fail: put reverse_proxy, php_fastcgi or instagram_file into it")
	}
	w.routes(h.Routes, flow{
		known: known{authentic: true, delivery: true}, route: append(slices.Clip(here.route), "in instagram_queue"), paths: here.paths,
	})
}

// neverRuns tells of handlers behind a queue.
func (w *walk) neverRuns(here flow, list []caddyhttp.MiddlewareHandler) {
	var names []string
	for _, h := range list {
		if name := directive(h); !slices.Contains(names, name) {
			names = append(names, name)
		}
	}
	if len(names) > 0 {
		w.find(here, false, "what stands after instagram_queue never runs: "+strings.Join(names, ", ")+". Put it before instagram_queue, or into its block")
	}
}

// find keeps a finding, once.
func (w *walk) find(here flow, unauthenticated bool, text string) {
	f := finding{text, w.name, strings.Join(here.route, " "), unauthenticated}
	if !w.told[f] {
		w.told[f] = true
		w.findings = append(w.findings, f)
	}
}
