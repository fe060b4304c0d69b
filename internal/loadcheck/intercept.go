package loadcheck

import (
	"net/http"
	"slices"
	"strconv"

	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp/fileserver"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp/intercept"
)

// failures are statuses that a refused or failed delivery is answered with, by
// this plugin or by an application.
var failures = []int{
	http.StatusBadRequest, http.StatusUnauthorized, http.StatusForbidden, http.StatusMethodNotAllowed,
	http.StatusRequestEntityTooLarge, http.StatusTooEarly, http.StatusInternalServerError,
	http.StatusBadGateway, http.StatusServiceUnavailable, http.StatusGatewayTimeout,
}

// hidesFailures reports whether an intercept directive may answer with success in
// the place of a failure.
func hidesFailures(i *intercept.Intercept) bool {
	return slices.ContainsFunc(failures, func(status int) bool {
		for _, h := range i.HandleResponse {
			if h.Match != nil && (len(h.Match.Headers) > 0 || !h.Match.Match(status, nil)) {
				continue
			}
			// The first handler that matches answers.
			if h.StatusCode != "" {
				return isSuccess(string(h.StatusCode))
			}
			return slices.ContainsFunc(h.Routes, answersSuccess)
		}
		return false
	})
}

// isSuccess reports whether a configured status is surely below 400. A placeholder
// may be the status of the failure.
func isSuccess(status string) bool {
	code, err := strconv.Atoi(status)
	return err == nil && code < http.StatusBadRequest
}

// answersSuccess reports whether a route answers with a status below 400, if all
// goes well.
func answersSuccess(route caddyhttp.Route) bool {
	return slices.ContainsFunc(route.Handlers, func(h caddyhttp.MiddlewareHandler) bool {
		switch h := h.(type) {
		case *caddyhttp.StaticResponse:
			return !h.Abort && (h.StatusCode == "" || isSuccess(string(h.StatusCode)))
		case *fileserver.FileServer:
			return h.StatusCode == "" || isSuccess(string(h.StatusCode))
		case *caddyhttp.Subroute:
			return slices.ContainsFunc(h.Routes, answersSuccess)
		}
		return false
	})
}
