package loadcheck

import (
	"net/http"
	"regexp"
	"slices"
	"strings"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"

	"github.com/caddy-instagram/webhooks/handler"
	"github.com/caddy-instagram/webhooks/matcher"
)

// passing are the handlers that write no answer of their own to a delivery. All
// others may, those that are not known here among them.
var passing = []string{
	"authentication", "copy_response_headers", "encode", "headers", "intercept", "log_append", "map", "push",
	"request_body", "rewrite", "templates", "timeouts", "tracing", "vars",
}

// mayTake reports whether some of these handlers may take a delivery.
func (w *walk) mayTake(list []caddyhttp.MiddlewareHandler) bool {
	return slices.ContainsFunc(list, func(h caddyhttp.MiddlewareHandler) bool {
		switch h := h.(type) {
		case *handler.Handler:
			return false
		case *caddyhttp.Subroute:
			return w.anyTakes(h.Routes)
		case *caddyhttp.Invoke:
			return w.takers[h.Name]
		}
		return !slices.Contains(passing, nameOf(h))
	})
}

// findTakers finds the named routes that may take a delivery, also by another that
// they invoke, until there are no more.
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

// mayFail reports whether a handler may write a status of failure that is an
// application's. Those of this plugin and of Caddy return errors instead.
func mayFail(h caddyhttp.MiddlewareHandler) bool {
	name := nameOf(h)
	return !slices.Contains(passing, name) && name != "static_response" && name != "error" && name != "file_server"
}

func (w *walk) anyTakes(list caddyhttp.RouteList) bool {
	return slices.ContainsFunc(list, func(route caddyhttp.Route) bool { return w.mayTake(route.Handlers) })
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
	"error":           "error",
	"headers":         "header or request_header",
	"rewrite":         "rewrite, uri or method",
	"static_response": "respond, redir or abort",
	"subroute":        "handle, route or php_fastcgi",
	"vars":            "vars, root or log_skip",
}

// directive returns by which name people know a handler.
func directive(h caddyhttp.MiddlewareHandler) string {
	name := nameOf(h)
	if known, ok := directives[name]; ok {
		return known
	}
	return name
}

// directHandlers returns the handlers of routes, without those within.
func directHandlers(list caddyhttp.RouteList) (all []caddyhttp.MiddlewareHandler) {
	for _, route := range list {
		all = append(all, route.Handlers...)
	}
	return all
}

// matchesEvents reports whether the matcher instagram is in a set.
func matchesEvents(set caddyhttp.MatcherSet) bool {
	return slices.ContainsFunc(set, func(m any) bool {
		switch m := m.(type) {
		case matcher.Match, *matcher.Match:
			return true
		case caddyhttp.MatchNot:
			return slices.ContainsFunc(m.MatcherSets, matchesEvents)
		case *caddyhttp.MatchNot:
			return slices.ContainsFunc(m.MatcherSets, matchesEvents)
		case caddyhttp.MatchExpression:
			return asksForEvents(m.Expr)
		case *caddyhttp.MatchExpression:
			return asksForEvents(m.Expr)
		}
		return false
	})
}

var (
	quoted    = regexp.MustCompile("'(\\\\.|[^'\\\\])*'|\"(\\\\.|[^\"\\\\])*\"|`[^`]*`")
	eventCall = regexp.MustCompile(`\binstagram\(`)
)

// asksForEvents reports whether an expression calls the matcher instagram.
func asksForEvents(expression string) bool {
	return eventCall.MatchString(quoted.ReplaceAllString(expression, "''"))
}

// mayBeDelivery reports whether a route may match a delivery that a webhook at one
// of these places passed on, as far as paths and methods tell.
func mayBeDelivery(route *caddyhttp.Route, webhooks [][][]string) bool {
	if len(route.MatcherSets) == 0 {
		return true
	}
	if !slices.ContainsFunc(route.MatcherSets, func(set caddyhttp.MatcherSet) bool {
		return !slices.ContainsFunc(set, func(m any) bool {
			methods, ok := m.(*caddyhttp.MatchMethod)
			return ok && !slices.Contains(*methods, http.MethodPost)
		})
	}) {
		return false
	}
	paths := pathsOf(route)
	return len(paths) == 0 || slices.ContainsFunc(webhooks, func(levels [][]string) bool {
		for _, level := range levels {
			if !slices.ContainsFunc(level, func(a string) bool {
				return slices.ContainsFunc(paths, func(b string) bool { return overlap(a, b) })
			}) {
				return false
			}
		}
		return true
	})
}

// pathsOf returns the paths that a route matches, none if it may match any.
func pathsOf(route *caddyhttp.Route) (all []string) {
	for _, set := range route.MatcherSets {
		before := len(all)
		for _, m := range set {
			all = append(all, patternsOf(m)...)
		}
		if len(all) == before {
			return nil
		}
	}
	return all
}

// patternsOf returns the paths of a matcher of paths, none of another.
func patternsOf(m any) []string {
	switch m := m.(type) {
	case caddyhttp.MatchPath:
		return m
	case *caddyhttp.MatchPath:
		return *m
	}
	return nil
}

// overlap reports whether a path may match both patterns. Of those that do not
// end with their only star it is not known.
func overlap(a, b string) bool {
	a, openA := strings.CutSuffix(strings.ToLower(a), "*")
	b, openB := strings.CutSuffix(strings.ToLower(b), "*")
	return strings.ContainsAny(a+b, "*?[{%") || a == b || openA && strings.HasPrefix(b, a) || openB && strings.HasPrefix(a, b)
}

// maxNamed is how many hosts or paths of a matcher are named.
const maxNamed = 3

// describe adds the hosts and paths of a route to those that lead there.
func describe(above []string, route *caddyhttp.Route) []string {
	all := slices.Clone(above)
	for _, set := range route.MatcherSets {
		for _, m := range set {
			var values []string
			switch m := m.(type) {
			case caddyhttp.MatchHost:
				values = m
			case *caddyhttp.MatchHost:
				values = *m
			case caddyhttp.MatchPath, *caddyhttp.MatchPath:
				values = patternsOf(m)
			default:
				values = []string{"@" + nameOf(m)}
			}
			if len(values) > maxNamed {
				values = append(slices.Clone(values[:maxNamed]), "…")
			}
			all = append(all, strings.Join(values, ","))
		}
	}
	return all
}
