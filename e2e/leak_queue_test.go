package e2e

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/caddy-instagram/webhooks/e2e/internal/harness"
)

// startLeakQueues starts a Caddy with a queue for each path and what takes its
// events. The files are not among those that are searched: they hold what was
// sent.
func startLeakQueues(t *testing.T, options string, backends map[string]string) (caddy *leakCaddy, paths, files []string) {
	t.Helper()
	dir := t.TempDir()
	var routes strings.Builder
	for path, backend := range backends {
		file := filepath.Join(dir, path, "queue.db")
		timeout := "10m"
		if path == "/held" { // the only one that would not answer
			timeout = "200ms"
		}
		fmt.Fprintf(&routes, `
	handle %s {
		import webhook
		instagram_queue {
			store sqlite %q
			retry {
				first 10ms
				max 50ms
				for 1s
			}
			timeout %s
			min_free_space 0B
			%s
		}
	}`, path, file, timeout, backend)
		paths = append(paths, path)
		files = append(files, file)
	}
	return startLeakCaddy(t, options, routes.String()), paths, files
}

// through sends everything and waits for the end of all deliveries.
func (s *leakSearch) through(t *testing.T, caddy *leakCaddy, paths, files []string) map[string]string {
	t.Helper()
	s.sendAll(t, caddy, paths...)
	for _, file := range files {
		caddy.WaitMetric(t, fmt.Sprintf(`queue_pending_events{consumer="default",store=%q}`, file), 0)
	}
	return s.end(t, caddy)
}

// searchQueues does so and searches. App secrets must not be in the files either.
func searchQueues(t *testing.T, caddy *leakCaddy, paths, files []string) map[string]string {
	t.Helper()
	s := newLeakSearch()
	places := s.through(t, caddy, paths, files)
	s.check(t, places)
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for _, secret := range []string{envSecret, fileSecret} {
			if strings.Contains(string(text), secret) {
				t.Errorf("an app secret is in %s", file)
			}
		}
	}
	return places
}

// TestSearchFindsLeaksFromQueues is the control: with debug on, and no filter,
// Caddy's transport logs the signatures that the queue makes.
func TestSearchFindsLeaksFromQueues(t *testing.T) {
	t.Parallel()
	app := harness.StartApp(t, harness.Rule{Silent: true})
	caddy, paths, files := startLeakQueues(t, "debug", map[string]string{"/up": "reverse_proxy " + app.Addr})
	s := newLeakSearch()
	places := s.through(t, caddy, paths, files)
	if found := strings.Join(s.findings(places), "\n"); !strings.Contains(found, "a signature is in stdout and stderr") {
		t.Errorf("the signatures were not found: %s", found)
	}
}

// TestNothingLeaksFromQueuesWithDebug has debug and access logs on, and no filter,
// and queues whose events are taken, fail, and are taken by nobody.
func TestNothingLeaksFromQueuesWithDebug(t *testing.T) {
	t.Parallel()
	caddy, paths, files := startLeakQueues(t, "debug\nservers {\ntrace\n}", map[string]string{
		"/respond": `respond "taken: {instagram.secret} {instagram.size}"`,
		"/file":    `instagram_file {$HOME}/events.jsonl`,
		"/failing": `error "the backend is on strike" 500`,
		"/nobody":  "@never instagram {\nfield standby\n}\nhandle @never {\nrespond 200\n}",
		"/refused": `respond 410`,
	})
	places := searchQueues(t, caddy, paths, files)
	checkLogged(t, places["stdout and stderr"], "attempt to deliver an event failed", "is a dead letter now",
		`"reason":"500"`, `"cause":"the backend is on strike"`, `"reason":"untaken"`, `"cause":"no handler took the event`,
		`"reason":"410"`, `"level":"debug"`)
}

// TestNothingLeaksFromQueuesWithBackends has applications that are up, down and
// refuse, and PHP that is down. As for all handlers, debug is off.
func TestNothingLeaksFromQueuesWithBackends(t *testing.T) {
	t.Parallel()
	up, failing := harness.StartApp(t, harness.Rule{Silent: true}), harness.StartApp(t, harness.Rule{Status: 500})
	caddy, paths, files := startLeakQueues(t, "", map[string]string{
		"/up":       "reverse_proxy " + up.Addr,
		"/down":     "reverse_proxy " + harness.FreeAddr(t),
		"/failing":  "reverse_proxy " + failing.Addr,
		"/down-php": "php_fastcgi unix//nonexistent/socket",
	})
	places := searchQueues(t, caddy, paths, files)
	checkLogged(t, places["stdout and stderr"],
		`"reason":"502"`, `connect: connection refused"`, `"reason":"500"`, `"cause":"answered 500 Internal Server Error"`)
}

// TestNothingLeaksFromQueuesThroughTheFilter has debug on, and backends that make
// Caddy warn, with the filter that this takes.
func TestNothingLeaksFromQueuesThroughTheFilter(t *testing.T) {
	t.Parallel()
	app := harness.StartApp(t,
		harness.Rule{Path: "/broken", Cut: harness.CutInBody}, harness.Rule{Path: "/hangup", Cut: harness.CutAtOnce},
		harness.Rule{Path: "/held", Hold: true}, harness.Rule{Silent: true})
	caddy, paths, files := startLeakQueues(t, "debug\n"+filtered, map[string]string{
		"/up":     "reverse_proxy " + app.Addr,
		"/broken": "reverse_proxy " + app.Addr,
		"/hangup": "reverse_proxy " + app.Addr,
		"/held":   "reverse_proxy " + app.Addr,
	})
	places := searchQueues(t, caddy, paths, files)
	checkLogged(t, places["stdout and stderr"], "upstream roundtrip", "aborting with incomplete response",
		`"reason":"broken"`, `"reason":"timeout"`)
}
