package loadcheck

import (
	"net/http"
	"slices"
	"strconv"

	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp/fileserver"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp/reverseproxy"

	"github.com/caddy-instagram/webhooks/file"
	"github.com/caddy-instagram/webhooks/queue"
)

// failures are statuses that a refused or failed delivery is answered with, by
// this plugin or by an application.
var failures = []int{
	http.StatusBadRequest, http.StatusUnauthorized, http.StatusForbidden, http.StatusMethodNotAllowed,
	http.StatusRequestEntityTooLarge, http.StatusTooEarly, http.StatusTooManyRequests, http.StatusInternalServerError,
	http.StatusBadGateway, http.StatusServiceUnavailable, http.StatusGatewayTimeout,
}

// verdict tells whether failures are answered with success.
type verdict int

const (
	keeps verdict = iota // they stay failures, as far as is known
	may
	surely
)

// answer returns the verb, with its ending if it is certain.
func (v verdict) answer(ending string) string {
	if v == may {
		return "may answer"
	}
	return "answer" + ending
}

// place is where routes answer in the place of a failure.
type place int

const (
	around      place = iota // around a webhook
	behind                   // behind it, to deliveries only
	errorRoutes              // behind it, with an error under way, whose status is the default
)

// hidesFailures judges what an intercept or a reverse_proxy does with responses.
func (w *walk) hidesFailures(handlers []caddyhttp.ResponseHandler, at place) (v verdict) {
	for _, status := range failures {
		for _, h := range handlers {
			if h.Match != nil && (len(h.Match.Headers) > 0 || !h.Match.Match(status, nil)) {
				continue
			}
			// The first handler that matches answers.
			if h.StatusCode != "" {
				v = max(v, ofStatus(string(h.StatusCode)))
			} else {
				given, _ := w.given(h.Routes, at)
				v = max(v, given)
			}
			break
		}
	}
	return v
}

// ofStatus judges a configured status. A placeholder may be the status of the
// failure, and 0 leaves it as it is.
func ofStatus(status string) verdict {
	if code, err := strconv.Atoi(status); err == nil && code > 0 && code < http.StatusBadRequest {
		return surely
	}
	return keeps
}

// given judges what routes answer, if all goes well, and tells whether nothing
// runs after them.
func (w *walk) given(list caddyhttp.RouteList, at place) (v verdict, ended bool) {
	for i := range list {
		route := &list[i]
		if slices.ContainsFunc(route.MatcherSets, asksForOutcome) {
			continue // it may be for what is no failure
		}
		answered, last := w.givenBy(route.Handlers, at)
		if len(route.MatcherSets) > 0 {
			answered = min(answered, may)
		}
		v = max(v, answered)
		if (last || route.Terminal) && alwaysRuns(list[:i], route) {
			return v, true
		}
	}
	return v, false
}

// asksForOutcome reports whether a set may match by the status of the failure.
func asksForOutcome(set caddyhttp.MatcherSet) bool {
	return slices.ContainsFunc(set, func(m any) bool {
		switch m := m.(type) {
		case *caddyhttp.MatchExpression, caddyhttp.MatchExpression, *caddyhttp.VarsMatcher, caddyhttp.VarsMatcher,
			*caddyhttp.MatchVarsRE, caddyhttp.MatchVarsRE:
			return true
		case *caddyhttp.MatchNot:
			return slices.ContainsFunc(m.MatcherSets, asksForOutcome)
		}
		return false
	})
}

// givenBy judges what the handlers of a route answer.
func (w *walk) givenBy(list []caddyhttp.MiddlewareHandler, at place) (v verdict, ended bool) {
	for _, h := range list {
		answered, last := w.givenByOne(h, at)
		v = max(v, answered)
		if last {
			return v, true
		}
	}
	return v, false
}

func (w *walk) givenByOne(h caddyhttp.MiddlewareHandler, at place) (v verdict, ended bool) {
	switch h := h.(type) {
	case *caddyhttp.StaticResponse:
		switch {
		case h.Abort || h.StatusCode == "" && at == errorRoutes:
			return keeps, true
		case h.StatusCode == "":
			return surely, true
		}
		return ofStatus(string(h.StatusCode)), true
	case *fileserver.FileServer:
		switch {
		case at == behind: // A delivery is a POST, to which it answers 405.
			return keeps, true
		case h.StatusCode == "" && at == around:
			return surely, true
		}
		return ofStatus(string(h.StatusCode)), true
	case *reverseproxy.CopyResponseHandler:
		return ofStatus(string(h.StatusCode)), true
	case *reverseproxy.Handler:
		return may, true
	case *file.Handler, *queue.Handler, *caddyhttp.StaticError:
		// What is kept in a file or a queue is no failure any more.
		return keeps, true
	case *caddyhttp.Subroute:
		return w.given(h.Routes, at)
	case *caddyhttp.Invoke:
		return w.givenByNamed(h.Name, at)
	}
	if slices.Contains(passing, nameOf(h)) {
		return keeps, false
	}
	return may, false
}

// namedAt is a named route that is invoked in the place of a failure.
type namedAt struct {
	name string
	at   place
}

// judgement is what is known of a namedAt.
type judgement struct {
	v     verdict
	ended bool
}

// givenByNamed judges a named route, once.
func (w *walk) givenByNamed(name string, at place) (v verdict, ended bool) {
	route, key := w.server.NamedRoutes[name], namedAt{name, at}
	if route == nil {
		return keeps, true // invoke fails
	}
	if known, ok := w.judged[key]; ok {
		return known.v, known.ended
	}
	w.judged[key] = judgement{} // while it is under way
	v, ended = w.given(caddyhttp.RouteList{*route}, at)
	w.judged[key] = judgement{v, ended}
	return v, ended
}
