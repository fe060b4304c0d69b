package queue

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"
	"unicode/utf8"

	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/caddy-instagram/webhooks/internal/sanitize"
)

// hostile is an error that does not want to be read.
type hostile struct{}

func (hostile) Error() string { panic("not me") }

// TestFailureHasItsCause has backends that end with an error instead of an
// answer. It is not run in parallel, because it looks at metrics.
func TestFailureHasItsCause(t *testing.T) {
	body := string(record("a", 1).Body)
	for name, c := range map[string]struct {
		backend    Backend
		state      State
		reason     string
		text, says string // last error, and cause in the log
	}{
		"no connection": {failing(failed(502, errors.New("dial unix /run/php/php8.2-fpm.sock: connect: permission denied"))), Pending,
			"502", "502: dial unix /run/php/php8.2-fpm.sock: connect: permission denied", "dial unix /run/php/php8.2-fpm.sock: connect: permission denied"},
		"no status":          {failing(errors.New("no space left on device")), Pending, "500", "500: no space left on device", "no space left on device"},
		"no error":           {failing(failed(503, errors.New("Service Unavailable"))), Pending, "503", "503: Service Unavailable", "Service Unavailable"},
		"status of an error": {failing(failed(410, errors.New("closed for ever"))), Dead, "410", "410: closed for ever", "closed for ever"},
		"no handler": {failing(&Failure{Reason: ReasonUnhandled, Err: errors.New("no handler took the event")}), Pending,
			"untaken", "no handler took the event", "no handler took the event"},
		"a 404 of the application": {answered(404, "<h1>Not found</h1>"), Dead, "404", "404: <h1>Not found</h1>", "answered 404 Not Found"},
		"a body":                   {answered(500, body), Pending, "500", "500: " + strings.TrimSpace(sanitize.OneLine(body[:maxText])), "answered 500 Internal Server Error"},
		"a status without a name":  {answered(599, ""), Pending, "599", "599", "answered 599"},
		"after success": {func(w http.ResponseWriter, _ *http.Request) error {
			w.WriteHeader(200)
			return failed(507, errors.New("disk full"))
		}, Pending, "507", "507: disk full", "disk full"},

		"a query": {failing(failed(502, errors.New(`Get "http://api.internal/v1?token=hidden&x=1": dial tcp 10.0.0.1:80: i/o timeout`))), Pending,
			"502", `502: Get "http://api.internal/v1?…": dial tcp 10.0.0.1:80: i/o timeout`, `Get "http://api.internal/v1?…": dial tcp 10.0.0.1:80: i/o timeout`},
		"a password": {failing(failed(502, errors.New("connecting to amqp://user:hidden@broker:5672/vhost: refused"))), Pending,
			"502", "502: connecting to amqp://broker:5672/vhost: refused", "connecting to amqp://broker:5672/vhost: refused"},
		"the event": {func(_ http.ResponseWriter, r *http.Request) error {
			return fmt.Errorf("cannot take %s from %s, signed %s", body, r.URL.RawQuery, r.Header.Get("X-Hub-Signature-256"))
		}, Pending, "500", "500: cannot take [secret] from [secret], signed sha256=[secret]", "cannot take [secret] from [secret], signed sha256=[secret]"},
		"without end": {failing(errors.New(strings.Repeat("\u00fc", 1<<20))), Pending,
			"500", "500: " + strings.Repeat("\u00fc", maxText/2) + "…", strings.Repeat("\u00fc", maxText/2) + "…"},
		"signs":   {failing(errors.New("\x1b[31mred\r\n\x00\xff\u202eend")), Pending, "500", "500: [31mred end", "[31mred end"},
		"hostile": {failing(hostile{}), Pending, "500", "500: %!v(PANIC=Error method: not me)", "%!v(PANIC=Error method: not me)"},
		"hostile panic": {func(http.ResponseWriter, *http.Request) error { panic(hostile{}) }, Pending,
			"panic", "panic: %!v(PANIC=Error method: not me)", "panic: %!v(PANIC=Error method: not me)"},
		"panic without end": {func(http.ResponseWriter, *http.Request) error { panic(strings.Repeat("no ", 1<<20)) }, Pending,
			"panic", "panic: " + strings.Repeat("no ", 85) + "n…", "panic: " + strings.Repeat("no ", 85) + "n…"},

		"a redirect": {redirected(301, "https://user:hidden@hooks.example.com:8443/webhooks?token=hidden#hidden"), Pending,
			"301", "301: Moved Permanently, to https://hooks.example.com:8443/webhooks", "answered 301 Moved Permanently, to https://hooks.example.com:8443/webhooks"},
		"a redirect within": {redirected(302, "/login?next=hidden"), Pending, "302", "302: Found, to /login", "answered 302 Found, to /login"},
		"a redirect to any": {redirected(307, "//other.example.com"), Pending, "307", "307: Temporary Redirect, to //other.example.com", "answered 307 Temporary Redirect, to //other.example.com"},
		"a redirect with signs": {redirected(302, "/\u202e\x1b[31m%0a"), Pending,
			"302", "302: Found, to a Location that cannot be read", "answered 302 Found, to a Location that cannot be read"},
		"a redirect with escapes": {redirected(302, "/%1b[31m%0a"), Pending, "302", "302: Found, to /%1b[31m%0a", "answered 302 Found, to /%1b[31m%0a"},
		"a redirect to nothing":   {redirected(302, "%zz?hidden"), Pending, "302", "302: Found, to a Location that cannot be read", "answered 302 Found, to a Location that cannot be read"},
		"a redirect by mail":      {redirected(302, "mailto:hidden@example.com"), Pending, "302", "302: Found, to a Location that cannot be read", "answered 302 Found, to a Location that cannot be read"},
		"a redirect without end": {redirected(302, "/"+strings.Repeat("x", 1<<20)), Pending,
			"302", "302: Found, to /" + strings.Repeat("x", maxText-1) + "…", "answered 302 Found, to /" + strings.Repeat("x", maxText-1) + "…"},
		"a redirect of nothing": {answered(304, ""), Pending, "304", "304: Not Modified", "answered 304 Not Modified"},
		"no redirect":           {located(500, "/login", "broken"), Pending, "500", "500: broken", "answered 500 Internal Server Error"},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				counted := testutil.ToFloat64(metrics.failures.WithLabelValues(DefaultConsumer, reasonLabel(c.reason)))
				tr := dispatch(t, nil, func(p *Policy) { p.DeadStatus = []int{404}; p.First, p.Max = time.Hour, time.Hour },
					c.backend)
				tr.accept("a", 1)
				e := tr.only()
				if e.State != c.state || e.LastError != c.text {
					t.Errorf("%s:\n%q, want\n%q", e.State, e.LastError, c.text)
				}
				if n := testutil.ToFloat64(metrics.failures.WithLabelValues(DefaultConsumer, reasonLabel(c.reason))) - counted; n != 1 {
					t.Errorf("counted %v failures as %s, want 1", n, c.reason)
				}
				lines := tr.logs.All()
				if len(lines) != 1 {
					t.Fatalf("%d lines", len(lines))
				}
				field := "cause"
				if c.reason == "panic" {
					field = "panic"
				}
				if got := lines[0].ContextMap(); got[field] != c.says || got["reason"] != c.reason {
					t.Errorf("the log says %s: %q, want %s: %q", got["reason"], got[field], c.reason, c.says)
				}
				for key, value := range lines[0].ContextMap() {
					if text := fmt.Sprint(value); key != "stack" && (strings.Contains(text, "hidden") || len(text) > 2*maxText || !utf8.ValidString(text)) {
						t.Errorf("%s is in the log: %q", key, text)
					}
				}
			})
		})
	}
}

func failed(status int, err error) error { return &Failure{Status: status, Err: err} }

func failing(err error) Backend {
	return func(http.ResponseWriter, *http.Request) error { return err }
}

func answered(status int, body string) Backend { return located(status, "", body) }

// redirected answers as http.Redirect does, with the Location in the body too.
func redirected(status int, location string) Backend {
	return located(status, location, `<a href="`+location+`">elsewhere</a>`)
}

func located(status int, location, body string) Backend {
	return func(w http.ResponseWriter, _ *http.Request) error {
		if location != "" {
			w.Header().Set("Location", location)
		}
		w.WriteHeader(status)
		_, _ = io.WriteString(w, body)
		return nil
	}
}
