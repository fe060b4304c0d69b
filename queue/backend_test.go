package queue

import (
	"errors"
	"fmt"
	"testing"

	"github.com/caddyserver/caddy/v2/modules/caddyhttp"

	"github.com/caddy-instagram/webhooks/internal/queue"
)

// TestFailureOfRoutes reads the errors of Caddy's handlers as a server would.
func TestFailureOfRoutes(t *testing.T) {
	t.Parallel()
	cause := errors.New("dial tcp 127.0.0.1:1: connect: connection refused")
	for name, c := range map[string]struct {
		err    error
		status int
		reason string
		text   string
	}{
		"with a status":   {caddyhttp.Error(502, cause), 502, "", cause.Error()},
		"wrapped":         {fmt.Errorf("route: %w", caddyhttp.Error(410, cause)), 410, "", cause.Error()},
		"without a cause": {caddyhttp.HandlerError{StatusCode: 503}, 503, "", "Service Unavailable"},
		"no status":       {caddyhttp.HandlerError{Err: cause}, 500, "", cause.Error()},
		"any error":       {cause, 500, "", cause.Error()},
		"no handler":      {caddyhttp.Error(404, errUnhandled), 0, queue.ReasonUnhandled, errUnhandled.Error()},
	} {
		f := failureOf(c.err)
		if f.Status != c.status || f.Reason != c.reason || f.Error() != c.text {
			t.Errorf("%s: %d %q %q, want %d %q %q", name, f.Status, f.Reason, f.Error(), c.status, c.reason, c.text)
		}
	}
}
