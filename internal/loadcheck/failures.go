package loadcheck

import (
	"slices"
	"strconv"

	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp/fileserver"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp/reverseproxy"

	"github.com/caddy-instagram/webhooks/file"
	"github.com/caddy-instagram/webhooks/queue"
)

// failures are statuses that a refused or failed delivery is answered with, by this plugin or by an application.
var failures = []int{400, 401, 403, 405, 413, 425, 429, 500, 502, 503, 504}

// verdict tells whether failures are answered with success.
type verdict int

const (
	keeps verdict = iota // they stay failures, as far as is known
	may
	surely
)

// String returns the verb.
func (v verdict) String() string {
	if v == may {
		return "may answer"
	}
	return "answers"
}

// location is where routes answer instead of what failed.
type location int

const (
	around      location = iota // around a webhook
	behind                      // behind it, to deliveries only
	errorRoutes                 // behind it, with an error under way, whose status is the default
)

// hidesFailures judges what an intercept or a reverse_proxy does with responses.
func (w *walk) hidesFailures(handlers []caddyhttp.ResponseHandler, at location) (v verdict) {
	for _, status := range failures {
		// The first handler that matches answers.
		i := slices.IndexFunc(handlers, func(h caddyhttp.ResponseHandler) bool {
			return h.Match == nil || len(h.Match.Headers) == 0 && h.Match.Match(status, nil)
		})
		switch {
		case i < 0:
		case handlers[i].StatusCode != "":
			v = max(v, ofStatus(handlers[i].StatusCode))
		default:
			given, _ := w.judge(handlers[i].Routes, at)
			v = max(v, given)
		}
	}
	return v
}

// ofStatus judges a configured status. A placeholder may be the status of the failure, and 0 leaves it as it is.
func ofStatus(status caddyhttp.WeakString) verdict {
	if code, err := strconv.Atoi(string(status)); err == nil && code > 0 && code < 400 {
		return surely
	}
	return keeps
}

// judge judges what routes answer, if all goes well, and tells whether nothing runs after them.
func (w *walk) judge(list caddyhttp.RouteList, at location) (v verdict, ended bool) {
	for i := range list {
		route := &list[i]
		if hasMatcher(route.MatcherSets, asksForOutcome) {
			continue // it may be for what is no failure
		}
		ended := route.Terminal
		for _, h := range route.Handlers {
			given, last := w.judgeHandler(h, at)
			if len(route.MatcherSets) > 0 {
				given = min(given, may)
			}
			v = max(v, given)
			if last {
				ended = true
				break
			}
		}
		if ended && alwaysRuns(list[:i], route) {
			return v, true
		}
	}
	return v, false
}

// asksForOutcome reports whether a matcher may match by the status of the failure.
func asksForOutcome(m any) bool {
	switch m.(type) {
	case *caddyhttp.MatchExpression, *caddyhttp.VarsMatcher, *caddyhttp.MatchVarsRE:
		return true
	}
	return false
}

func (w *walk) judgeHandler(h caddyhttp.MiddlewareHandler, at location) (v verdict, ended bool) {
	switch h := h.(type) {
	case *caddyhttp.StaticResponse:
		switch {
		case h.Abort:
			return keeps, true
		case h.StatusCode == "" && at != errorRoutes:
			return surely, true
		}
		return ofStatus(h.StatusCode), true
	case *fileserver.FileServer:
		switch {
		case at == behind: // A delivery is a POST, to which it answers 405.
			return keeps, true
		case h.StatusCode == "" && at == around:
			return surely, true
		}
		return ofStatus(h.StatusCode), true
	case *reverseproxy.CopyResponseHandler:
		return ofStatus(h.StatusCode), true
	case *reverseproxy.Handler:
		return may, true
	case *file.Handler, *queue.Handler, *caddyhttp.StaticError:
		// What is kept in a file or a queue is no failure any more.
		return keeps, true
	case *caddyhttp.Subroute:
		return w.judge(h.Routes, at)
	case *caddyhttp.Invoke:
		return w.judgeNamed(h.Name, at)
	}
	if slices.Contains(passing, nameOf(h)) {
		return keeps, false
	}
	return may, false
}

// namedAt is a named route that is invoked to answer instead of what failed.
type namedAt struct {
	name string
	at   location
}

type judgment struct {
	verdict
	ended bool
}

func (w *walk) judgeNamed(name string, at location) (v verdict, ended bool) {
	route := w.server.NamedRoutes[name]
	if route == nil {
		return keeps, true // invoke fails
	}
	j := w.hiding.get(namedAt{name, at}, judgment{}, func() judgment {
		v, ended := w.judge(caddyhttp.RouteList{*route}, at)
		return judgment{v, ended}
	})
	return j.verdict, j.ended
}
