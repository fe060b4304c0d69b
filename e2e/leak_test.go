package e2e

import (
	"fmt"
	"strings"
	"testing"

	"github.com/caddy-instagram/webhooks/e2e/internal/harness"
	"github.com/caddy-instagram/webhooks/internal/testpki"
)

// TestSearchFindsLeaks is the control of the tests below: without the plugin,
// Caddy does log tokens and signatures, and the search finds them.
func TestSearchFindsLeaks(t *testing.T) {
	t.Parallel()
	caddy := startLeakCaddy(t, "", `respond "{http.request.uri}"`)
	s := newLeakSearch()
	places := s.run(t, caddy, "/")
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
	caddy := startLeakCaddy(t, `debug
	servers {
		trace
	}`, `
	handle /file {
		import webhook
		instagram_file {$HOME}/events.jsonl
	}
	handle /respond {
		import webhook
		respond "taken: {instagram.secret} {instagram.size}"
	}
	handle /small {
		import webhook {
			max_size 16B
		}
	}
	handle /cert {
		import webhook {
			client_cert {
				trust_pool inline {
					trust_der `+testpki.DER(testpki.NewCA(t, "Inline root"))+`
				}
				verification
			}
		}
	}
	handle /nobody {
		import webhook
	}
	handle /unwritable {
		import webhook
		instagram_file {$HOME}/`+strings.Repeat("x", 250)+`{instagram.id}
	}
	handle /failing {
		import webhook
		error "the backend is on strike" 500
	}`)
	s := newLeakSearch()
	places := s.run(t, caddy, "/file", "/respond", "/small", "/cert", "/nobody", "/unwritable", "/failing")
	s.check(t, places)

	// The logs were on: each request has its line, half in each place.
	const line = `"handled request"`
	for _, place := range []string{"/access.log", "stdout and stderr"} {
		if got, want := strings.Count(places[place], line), s.sent/2; got != want {
			t.Errorf("%d requests are logged in %s, want %d", got, place, want)
		}
	}
	checkLogged(t, places["stdout and stderr"], `"level":"debug"`)
	checkLogged(t, places["/access.log"], "?REDACTED", `"status":403`, `"status":503`, `"status":413`)
}

// TestNothingLeaksWithBackends has a backend that is up and one that is down.
// At level debug Caddy's own transports log the headers that they send, so
// debug is off.
func TestNothingLeaksWithBackends(t *testing.T) {
	t.Parallel()
	app := harness.StartApp(t, harness.Rule{Silent: true})
	caddy := startLeakCaddy(t, "", fmt.Sprintf(`
	handle /up {
		import webhook
		reverse_proxy %s
	}
	handle_path /stripped/* {
		import webhook
		reverse_proxy %[1]s
	}
	handle /down {
		import webhook
		reverse_proxy %s
	}
	handle /down-php {
		import webhook
		php_fastcgi unix//nonexistent/socket
	}`, app.Addr, harness.FreeAddr(t)))
	s := newLeakSearch()
	places := s.run(t, caddy, "/up", "/stripped/x", "/down", "/down-php")
	s.check(t, places)
	checkLogged(t, places["/access.log"], `"status":502`)
}

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
	app := harness.StartApp(t, harness.Rule{Path: "/broken", Cut: harness.CutInBody}, harness.Rule{Silent: true})
	routes := fmt.Sprintf(`
	handle /up {
		import webhook
		reverse_proxy %s
	}
	handle_path /stripped/* {
		import webhook
		reverse_proxy %[1]s
	}
	handle /broken {
		import webhook
		reverse_proxy %[1]s
	}`, app.Addr)
	caddy := startLeakCaddy(t, "debug\n"+filtered, routes)
	s := newLeakSearch()
	places := s.run(t, caddy, "/up", "/stripped/x", "/broken")
	s.check(t, places)
	checkLogged(t, places["stdout and stderr"], "upstream roundtrip", "rewrote request", "aborting with incomplete response")
}

// TestNothingLeaksThroughTheFilterFromPHP does so with the FastCGI transport,
// which logs the environment of the script as well.
func TestNothingLeaksThroughTheFilterFromPHP(t *testing.T) {
	t.Parallel()
	php := harness.StartPHP(t)
	caddy := startLeakCaddy(t, "debug\n"+filtered, fmt.Sprintf(`
	handle /php {
		import webhook
		%s
	}`, php.FastCGI("silent.php", "capture_stderr")))
	s := newLeakSearch()
	places := s.run(t, caddy, "/php")
	s.check(t, places)
	checkLogged(t, places["stdout and stderr"], `"roundtrip"`, "complaint of the script")
	checkLogged(t, places["/access.log"], `"status":200`)
}
