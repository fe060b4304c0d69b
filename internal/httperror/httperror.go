// Package httperror finds the status that an error is answered with.
package httperror

import (
	"errors"
	"net/http"

	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
)

// Status returns the status to answer an error with. It is never a success,
// whatever the error says.
func Status(err error) int {
	var handled caddyhttp.HandlerError
	if errors.As(err, &handled) && handled.StatusCode >= http.StatusBadRequest && handled.StatusCode <= 999 {
		return handled.StatusCode
	}
	return http.StatusInternalServerError
}
