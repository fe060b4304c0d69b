package loadcheck

import (
	"fmt"
	"slices"
	"strings"

	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp/intercept"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp/requestbody"
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
	findings []finding
	invoked  []string // named routes under way
}

func newWalk(name string, server *caddyhttp.Server) *walk {
	return &walk{name: name, server: server, webhooks: make(map[*handler.Handler]bool)}
}

func (w *walk) run() {
	w.routes(w.server.Routes, flow{})
	if w.server.Errors != nil {
		// They are run for errors behind a webhook too.
		w.routes(w.server.Errors.Routes, flow{authentic: len(w.webhooks) > 0})
	}
}

// flow is what is known of the requests that come to a place.
type flow struct {
	route     []string // what they have matched
	authentic bool     // a webhook may have passed some of them on
	limit     int64    // of request_body, in bytes; 0: none
	hidden    bool     // an intercept before may answer failures with success
	taken     bool     // something behind the place may take a delivery
}

// outcome is what is known of the requests that leave a place.
type outcome struct {
	authentic bool
	limit     int64
	hidden    bool
	ended     bool // none does: instagram_queue ends them all
}

// routes follows requests through a list.
func (w *walk) routes(list caddyhttp.RouteList, in flow) outcome {
	out := outcome{authentic: in.authentic, limit: in.limit, hidden: in.hidden}
	passed := make(map[string]bool) // groups with a webhook, "" for what is in none
	for i := range list {
		route := &list[i]
		if out.ended {
			w.neverRuns(flow{route: in.route}, directHandlers(list[i:]))
			break
		}
		// A request that comes here has matched no other route of the group.
		here := flow{route: describe(in.route, route), authentic: in.authentic, limit: out.limit, hidden: out.hidden}
		for group := range passed {
			here.authentic = here.authentic || group == "" || group != route.Group
		}
		here.taken = !route.Terminal && (in.taken || slices.ContainsFunc(list[i+1:], func(later caddyhttp.Route) bool {
			return (later.Group == "" || later.Group != route.Group) && w.mayTake(later.Handlers)
		}))
		if !here.authentic && slices.ContainsFunc(route.MatcherSets, matchesEvents) {
			w.find(here, true, "the matcher instagram never matches here, as no request was authenticated: instagram_webhook must come before it")
		}
		left := w.handlers(route.Handlers, here)
		if left.authentic && !route.Terminal {
			passed[route.Group] = true
			out.authentic = true
		}
		if alwaysRuns(list[:i], route) {
			out.ended, out.limit, out.hidden = left.ended, left.limit, left.hidden
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
	out := outcome{authentic: in.authentic, limit: in.limit, hidden: in.hidden}
	for i, h := range list {
		here := flow{route: in.route, authentic: out.authentic, limit: out.limit, hidden: out.hidden, taken: in.taken || w.mayTake(list[i+1:])}
		switch h := h.(type) {
		case *handler.Handler:
			w.webhook(h, here)
			out.authentic = true
		case *file.Handler:
			w.consumer("instagram_file", here)
		case *queue.Handler:
			w.consumer("instagram_queue", here)
			w.queued(h, here)
			out = outcome{ended: true}
		case *caddyhttp.Subroute:
			out = w.routes(h.Routes, here)
			if h.Errors != nil {
				w.routes(h.Errors.Routes, flow{route: here.route, authentic: here.authentic || len(w.webhooks) > 0})
			}
		case *caddyhttp.Invoke:
			out = w.invoke(h.Name, here)
		case *intercept.Intercept:
			out.hidden = out.hidden || hidesFailures(h)
		case *requestbody.RequestBody:
			out.limit = tighter(out.limit, h.MaxSize)
		case requestbody.RequestBody:
			out.limit = tighter(out.limit, h.MaxSize)
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
	if route == nil || slices.Contains(w.invoked, name) {
		return outcome{authentic: in.authentic, limit: in.limit, hidden: in.hidden}
	}
	w.invoked = append(w.invoked, name)
	defer func() { w.invoked = w.invoked[:len(w.invoked)-1] }()
	return w.routes(caddyhttp.RouteList{*route}, in)
}

// webhook looks at a webhook and what surrounds it.
func (w *walk) webhook(h *handler.Handler, here flow) {
	w.webhooks[h] = true
	if !here.taken {
		w.find(here, false, "nothing behind instagram_webhook takes deliveries, so they are answered with 503: put instagram_queue, instagram_file, reverse_proxy, php_fastcgi or respond after it")
	}
	if h.ClientCert != nil && !w.asksForCertificates() {
		w.find(here, false, "client_cert demands a client certificate, but no TLS policy of this server asks for one, so all deliveries are refused: put client_auth { mode request } into the tls directive of the site, and let TLS end in Caddy")
	}
	if here.hidden {
		w.find(here, false, "an intercept around instagram_webhook answers failures with success, so that Meta takes what was refused or lost for delivered: keep the status, by replace_status or {http.intercept.status_code}, or leave the callback URL out")
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

// queued looks at what takes the events of a queue.
func (w *walk) queued(h *queue.Handler, here flow) {
	if !w.anyTakes(h.Routes) {
		w.find(here, false, "nothing in the block of instagram_queue takes events, so that all of them fail: put reverse_proxy, php_fastcgi or instagram_file into it")
	}
	w.routes(h.Routes, flow{route: append(slices.Clip(here.route), "in instagram_queue"), authentic: true})
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

func (w *walk) find(here flow, unauthenticated bool, text string) {
	w.findings = append(w.findings, finding{text, w.name, strings.Join(here.route, " "), unauthenticated})
}
