package e2e

import (
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/caddy-instagram/webhooks/internal/testpki"
)

// TestSearchFindsLeaks is the control of the tests below: without the plugin,
// Caddy does log tokens and signatures, and the search finds them.
func TestSearchFindsLeaks(t *testing.T) {
	t.Parallel()
	g := startLeakGateway(t, "", `respond "{http.request.uri}"`)
	s := newSearch()
	places := s.run(t, g, "/")
	found := strings.Join(s.findings(places), "\n")
	for _, want := range []string{
		"a verify token is in stdout and stderr", "a signature is in stdout and stderr",
		"a verify token is in /access.log", "a signature is in /access.log", "a verify token is in responses",
	} {
		if !strings.Contains(found, want) {
			t.Errorf("not found: %s", want)
		}
	}
	// What came by placeholder stands nowhere even so.
	if strings.Contains(found, "app secret") {
		t.Error(found)
	}
}

// TestNothingLeaksWithDebug has debug, handler traces and access logs on, and
// no filter on any of them.
func TestNothingLeaksWithDebug(t *testing.T) {
	t.Parallel()
	g := startLeakGateway(t, `debug
	metrics
	servers {
		trace
	}`, `
	handle /file {
		WEBHOOK(
		}
		instagram_file {$HOME}/events.jsonl
	}
	handle /respond {
		WEBHOOK(
		}
		respond "taken: {instagram.secret} {instagram.size}"
	}
	handle /small {
		WEBHOOK(
			max_size 16B
		}
	}
	handle /cert {
		WEBHOOK(
			client_cert {
				trust_pool inline {
					trust_der `+testpki.DER(testpki.NewCA(t, "Inline root"))+`
				}
				verification
			}
		}
	}
	handle /nobody {
		WEBHOOK(
		}
	}
	handle /unwritable {
		WEBHOOK(
		}
		instagram_file {$HOME}/`+strings.Repeat("x", 250)+`{instagram.id}
	}
	handle /failing {
		WEBHOOK(
		}
		error "the backend is on strike" 500
	}`)
	s := newSearch()
	places := s.run(t, g, "/file", "/respond", "/small", "/cert", "/nobody", "/unwritable", "/failing")
	s.check(t, places)

	// The logs were on: each request has its line, half in each place.
	const line = `"handled request"`
	for _, place := range []string{"/access.log", "stdout and stderr"} {
		if got, want := strings.Count(places[place], line), s.sent/2; got != want {
			t.Errorf("%d requests are logged in %s, want %d", got, place, want)
		}
	}
	if !strings.Contains(places["stdout and stderr"], `"level":"debug"`) {
		t.Error("debug was off")
	}
	for _, want := range []string{"?REDACTED", `"status":403`, `"status":503`, `"status":413`} {
		if !strings.Contains(places["/access.log"], want) {
			t.Errorf("no %s in the access log", want)
		}
	}
}

// TestNothingLeaksWithBackends has a backend that is up and one that is down.
// At level debug Caddy's own transports log the headers that they send, so
// debug is off.
func TestNothingLeaksWithBackends(t *testing.T) {
	t.Parallel()
	u := startUpstream(t)
	g := startLeakGateway(t, "", fmt.Sprintf(`
	handle /up {
		WEBHOOK(
		}
		reverse_proxy %s
	}
	handle_path /stripped/* {
		WEBHOOK(
		}
		reverse_proxy %[1]s
	}
	handle /down {
		WEBHOOK(
		}
		reverse_proxy 127.0.0.1:%d
	}
	handle /down-php {
		WEBHOOK(
		}
		php_fastcgi unix//nonexistent/socket
	}`, deaf(u), freePort(t)))
	s := newSearch()
	places := s.run(t, g, "/up", "/stripped/x", "/down", "/down-php")
	s.check(t, places)
	if got := strings.Count(places["/access.log"], `"status":502`); got == 0 {
		t.Error("no delivery met the backend that is down")
	}
}

// deaf is an application that tells its clients nothing: the echo would be
// found to hold the signatures.
func deaf(u *upstream) string { return u.addr + " {\nrewrite /silent\n}" }

// filtered is a log option for debugging. It covers what Caddy itself logs with
// the whole request: its transports and rewrites at level debug, and, whatever
// the level, its warnings about answers that break off and about PHP's stderr.
const filtered = `log default {
		format filter {
			wrap json
			request>uri delete
			uri delete
			request>headers>X-Hub-Signature delete
			request>headers>X-Hub-Signature-256 delete
			request>headers>Referer delete
			env delete
		}
	}`

// TestNothingLeaksThroughTheFilter has debug on, and backends that make Caddy
// warn, with the filter that this takes.
func TestNothingLeaksThroughTheFilter(t *testing.T) {
	t.Parallel()
	u := startUpstream(t)
	routes := fmt.Sprintf(`
	handle /up {
		WEBHOOK(
		}
		reverse_proxy %s
	}
	handle_path /stripped/* {
		WEBHOOK(
		}
		reverse_proxy %[1]s
	}
	handle /broken {
		WEBHOOK(
		}
		reverse_proxy %s
	}`, deaf(u), u.addr)
	g := startLeakGateway(t, "debug\n"+filtered, routes)
	s := newSearch()
	places := s.run(t, g, "/up", "/stripped/x", "/broken")
	s.check(t, places)
	for _, want := range []string{"upstream roundtrip", "rewrote request", "aborting with incomplete response"} {
		if !strings.Contains(places["stdout and stderr"], want) {
			t.Errorf("%q, which the filter is for, was not logged", want)
		}
	}
}

// TestNothingLeaksThroughTheFilterFromPHP does so with the FastCGI transport,
// which logs the environment of the script as well.
func TestNothingLeaksThroughTheFilterFromPHP(t *testing.T) {
	t.Parallel()
	p := startPHP(t)
	g := startLeakGateway(t, "debug\n"+filtered, fmt.Sprintf(`
	handle /php {
		WEBHOOK(
		}
		root %s
		rewrite /silent.php
		php_fastcgi unix/%s {
			capture_stderr
		}
	}`, p.root, p.socket))
	s := newSearch()
	places := s.run(t, g, "/php")
	s.check(t, places)
	for _, want := range []string{`"roundtrip"`, "complaint of the script"} {
		if !strings.Contains(places["stdout and stderr"], want) {
			t.Errorf("%q, which the filter is for, was not logged", want)
		}
	}
	if !strings.Contains(places["/access.log"], fmt.Sprintf(`"status":%d`, http.StatusOK)) {
		t.Error("no delivery reached PHP")
	}
}
