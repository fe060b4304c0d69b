package e2e

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"os/exec"
	"path/filepath"
	"regexp"
	"testing"
)

// check runs `caddy instagram check`, and returns what it prints.
func (g *gateway) check(t *testing.T, args ...string) string {
	t.Helper()
	cmd := exec.Command(caddyBinary, append([]string{"instagram", "check"}, args...)...)
	cmd.Env = append(g.env, "IG_APP_SECRET="+secret, "IG_VERIFY_TOKEN="+token)
	out, err := cmd.Output()
	if _, exited := err.(*exec.ExitError); err != nil && !exited {
		t.Fatal(err)
	}
	return string(out)
}

func mustSay(t *testing.T, out string, patterns ...string) {
	t.Helper()
	for _, pattern := range patterns {
		if !regexp.MustCompile("(?m)" + pattern).MatchString(out) {
			t.Errorf("nothing in it matches %q:\n%s", pattern, out)
		}
	}
}

// TestCheckTellsWhoAnsweredWhat has a real Caddy before an application that asks
// for a login, in a site that takes nothing beside the callback URL and does not
// say so.
func TestCheckTellsWhoAnsweredWhat(t *testing.T) {
	t.Parallel()
	app := httptest.NewServer(http.RedirectHandler("/login?next=x", http.StatusFound))
	t.Cleanup(app.Close)
	address := fmt.Sprintf("127.0.0.1:%d", freePort(t))
	g := startGateway(t, "auto_https off", fmt.Sprintf("http://%s {\nhandle /webhooks {\n%s\nreverse_proxy %s\n}\nhandle /down {\n%[2]s\nreverse_proxy 127.0.0.1:%[4]d\n}\n}",
		address, webhook, app.Listener.Addr(), freePort(t)))
	mustSay(t, g.check(t, "http://"+address+"/webhooks"),
		"^FAIL delivery.signed +To a signed delivery the application answered 302 to /login; Meta counts that as a failure",
		"^WARN neighbour.path +What comes to /webhooks/no-such-path and /webhooks/ is answered with an empty 200, as Caddy does",
		"^WARN neighbour.host +What comes with another Host is answered with an empty 200, as Caddy does",
	)
	mustSay(t, g.check(t, "http://"+address+"/down"),
		"^FAIL delivery.signed +To a signed delivery the server answered 502; Meta counts that as a failure",
		"A proxy does not reach what is behind it",
	)
}

// TestCheckAsksTheRunningQueue has an application that fails behind a queue.
func TestCheckAsksTheRunningQueue(t *testing.T) {
	t.Parallel()
	a := startApplication(t)
	a.behave(t, rule{Status: 500})
	g := newQueueGateway(t)
	g.serve(t, quick+"reverse_proxy "+a.addr)
	g.send(t, []byte(`{"object":"instagram","entry":[{"id":"17841400000000001","time":1793523600,"changes":[{"field":"comments","value":{"id":"17849203761125840"}}]}]}`), 200)
	// The second attempt comes once it is noted how the first one ended.
	g.awaitMetricThat(t, `queue_failed_attempts_total{reason="500"}`, func(n float64) bool { return n >= 2 })
	before := g.metric(t, g.gauge("pending_events"))
	out := g.check(t, g.url, "--config", filepath.Join(g.in, "Caddyfile"), "--no-deliveries")
	mustSay(t, out,
		"^ok   queue.accepting ",
		"^ok   queue.delivering +.*queue.db: .* since .*; its last attempt, number [0-9]+, failed: .*500",
		"^ok   queue.dead ",
	)
	if after := g.metric(t, g.gauge("pending_events")); after != before {
		t.Errorf("%v events wait, %v did before the check", after, before)
	}
}
