package loadcheck

import (
	"cmp"
	"slices"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"

	"github.com/caddy-instagram/webhooks/handler"
	"github.com/caddy-instagram/webhooks/signedrequest"
)

// passing are the handlers that write no answer of their own to a delivery. All others may, those that are not known
// here among them.
var passing = []string{
	"authentication", "copy_response_headers", "encode", "headers", "intercept", "log_append", "map", "push",
	"request_body", "rewrite", "templates", "timeouts", "tracing", "vars",
}

// mayTake reports whether some of these handlers may take a delivery.
func (w *walk) mayTake(list []caddyhttp.MiddlewareHandler) bool {
	return slices.ContainsFunc(list, func(h caddyhttp.MiddlewareHandler) bool {
		switch h := h.(type) {
		case *handler.Handler, *signedrequest.Handler:
			return false
		case *caddyhttp.Subroute:
			return w.anyTakes(h.Routes)
		case *caddyhttp.Invoke:
			return w.takers[h.Name]
		}
		return !slices.Contains(passing, nameOf(h))
	})
}

// findTakers finds the named routes that may take a delivery, some only through
// another one that they invoke: it looks again until it finds no more.
func (w *walk) findTakers() {
	for more := true; more; {
		more = false
		for name, route := range w.server.NamedRoutes {
			if route != nil && !w.takers[name] && w.mayTake(route.Handlers) {
				w.takers[name], more = true, true
			}
		}
	}
}

func (w *walk) anyTakes(list caddyhttp.RouteList) bool { return w.mayTake(directHandlers(list)) }

// mayFail reports whether a handler may pass on an application's status of failure. Those of this plugin and of Caddy
// return errors instead.
func mayFail(h caddyhttp.MiddlewareHandler) bool {
	name := nameOf(h)
	return !slices.Contains(passing, name) && name != "static_response" && name != "error" && name != "file_server"
}

// nameOf returns the last part of a module's id.
func nameOf(module any) string {
	if m, ok := module.(caddy.Module); ok {
		return m.CaddyModule().ID.Name()
	}
	return ""
}

// directives are the names in a Caddyfile of handlers that have another in JSON.
var directives = map[string]string{
	"authentication":  "basic_auth",
	"headers":         "header or request_header",
	"rewrite":         "rewrite, uri or method",
	"static_response": "respond, redir or abort",
	"subroute":        "handle, route or php_fastcgi",
	"vars":            "vars, root or log_skip",
}

// directive returns by which name people know a handler.
func directive(h caddyhttp.MiddlewareHandler) string {
	name := nameOf(h)
	return cmp.Or(directives[name], name)
}

// directHandlers returns the handlers of routes, without those inside of them.
func directHandlers(list caddyhttp.RouteList) (all []caddyhttp.MiddlewareHandler) {
	for _, route := range list {
		all = append(all, route.Handlers...)
	}
	return all
}
