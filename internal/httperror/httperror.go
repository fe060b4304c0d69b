// Package httperror tells what Caddy's errors mean to a client.
package httperror

import (
	"errors"
	"net/http"

	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
)

// Status returns the status that stands for an error. It is no success, whatever
// the error says.
func Status(err error) int {
	var handled caddyhttp.HandlerError
	if errors.As(err, &handled) && handled.StatusCode >= http.StatusBadRequest && handled.StatusCode <= 999 {
		return handled.StatusCode
	}
	return http.StatusInternalServerError
}
