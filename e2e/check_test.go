package e2e

import (
	"net/http"
	"net/http/httptest"
	"os/exec"
	"path/filepath"
	"regexp"
	"testing"

	"github.com/caddy-instagram/webhooks/e2e/internal/harness"
)

// check runs `caddy instagram check`, and returns what it prints.
func check(t *testing.T, caddy *harness.Caddy, args ...string) string {
	t.Helper()
	cmd := caddy.Command(append([]string{"instagram", "check"}, args...)...)
	cmd.Env = append(cmd.Env, "IG_APP_SECRET="+harness.Secret, "IG_VERIFY_TOKEN="+harness.Token)
	out, err := cmd.Output()
	if _, exited := err.(*exec.ExitError); err != nil && !exited {
		t.Fatal(err)
	}
	return string(out)
}

func checkSays(t *testing.T, out string, patterns ...string) {
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
	caddy := harness.NewCaddy(t)
	caddy.Name = "http://" + caddy.Addr // no other Host
	caddy.Serve(t, `handle /webhooks {
		%[1]s
		reverse_proxy %[2]s
	}
	handle /down {
		%[1]s
		reverse_proxy %[3]s
	}`, harness.Webhook, app.Listener.Addr(), harness.FreeAddr(t))
	checkSays(t, check(t, caddy, caddy.URL),
		"^FAIL delivery.signed +To a signed delivery the application answered 302 to /login; Meta counts that as a failure",
		"^WARN neighbour.path +What comes to /webhooks/no-such-path and /webhooks/ is answered with an empty 200, as Caddy does",
		"^WARN neighbour.host +What comes with another Host is answered with an empty 200, as Caddy does",
	)
	checkSays(t, check(t, caddy, "http://"+caddy.Addr+"/down"),
		"^FAIL delivery.signed +To a signed delivery the server answered 502; Meta counts that as a failure",
		"A proxy does not reach what is behind it",
	)
}

// TestCheckAsksTheRunningQueue has an application that fails behind a queue.
func TestCheckAsksTheRunningQueue(t *testing.T) {
	t.Parallel()
	app := harness.StartApp(t, harness.Rule{Status: 500})
	caddy := harness.NewCaddy(t)
	caddy.ServeQueue(t, harness.QuickRetry+"reverse_proxy "+app.Addr)
	caddy.Deliver(t, harness.Change("comments", `{"id":"17849203761125840"}`), 200)
	// The second attempt comes once it is noted how the first one ended.
	caddy.WaitMetricThat(t, `queue_failed_attempts_total{consumer="default",reason="500"}`, func(n float64) bool { return n >= 2 })
	before := caddy.Metric(t, caddy.Gauge("pending_events"))
	out := check(t, caddy, caddy.URL, "--config", filepath.Join(caddy.In, "Caddyfile"), "--no-deliveries")
	checkSays(t, out,
		"^ok   queue.accepting ",
		"^ok   queue.delivering +.*queue.db: .* since .*; its last attempt, number [0-9]+, failed: .*500",
		"^ok   queue.dead ",
	)
	if after := caddy.Metric(t, caddy.Gauge("pending_events")); after != before {
		t.Errorf("%v events wait, %v did before the check", after, before)
	}
}
