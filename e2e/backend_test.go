package e2e

import (
	"fmt"
	"net/http"
	"testing"
)

// TestRetryAtAnotherBackend has reverse_proxy try a backend that is down first:
// the delivery must reach the next one whole.
func TestRetryAtAnotherBackend(t *testing.T) {
	t.Parallel()
	u := startUpstream(t)
	port := freePort(t)
	startGateway(t, "auto_https off", fmt.Sprintf(`http://:%d {
	%s
	reverse_proxy 127.0.0.1:%d %s {
		lb_policy first
		lb_try_duration 30s
		fail_duration 30s
	}
}`, port, webhook, freePort(t), u.addr))
	c := newCaller(nil, fmt.Sprintf("127.0.0.1:%d", port), nil)
	for _, p := range protocols[:2] {
		body := batch(100)
		got := echoOf(t, c.mustDo(t, delivery(t, p, "http://hooks.example.com/", secret, body)))
		if got.SHA256 != hexSHA256(body) || got.Length != len(body) {
			t.Errorf("%s: %d bytes arrived, want %d", p, got.Length, len(body))
		}
	}
}

// TestErrorRoutesGetTheDelivery has an application that hangs up when it has
// read the delivery: the error routes must get it from its beginning.
func TestErrorRoutesGetTheDelivery(t *testing.T) {
	t.Parallel()
	u := startUpstream(t)
	port := freePort(t)
	startGateway(t, "auto_https off", fmt.Sprintf(`http://:%d {
	%s
	reverse_proxy %s {
		rewrite /hangup
	}
	handle_errors {
		reverse_proxy %[3]s {
			rewrite /fallback
			header_up X-Error {err.status_code}
			header_up X-Instagram-Secret {instagram.secret}
		}
	}
}`, port, webhook, u.addr))
	c := newCaller(nil, fmt.Sprintf("127.0.0.1:%d", port), nil)
	for _, p := range protocols[:2] {
		body := batch(100)
		a := c.mustDo(t, delivery(t, p, "http://hooks.example.com/", secret, body))
		if a.status != http.StatusBadGateway {
			t.Errorf("%s: status %d: Meta would not send again what failed", p, a.status)
		}
		a.status = http.StatusOK // of the application that the error routes asked
		got := echoOf(t, a)
		if got.SHA256 != hexSHA256(body) || got.Length != len(body) {
			t.Errorf("%s: %d bytes arrived, want %d", p, got.Length, len(body))
		}
		for name, want := range map[string]string{"X-Error": "502", "X-Instagram-Secret": "instagram"} {
			if values := got.Header[name]; len(values) != 1 || values[0] != want {
				t.Errorf("%s: %s %q, want %q", p, name, values, want)
			}
		}
	}
}
