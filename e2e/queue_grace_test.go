package e2e

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/caddy-instagram/webhooks/e2e/internal/harness"
)

// TestQueueReloadAndStopDoNotHangOnAnApplicationThatHangs has an application that
// never answers, and attempts that may take an hour: `caddy reload` and the end of
// Caddy wait for the grace period only. Meanwhile the new config accepts, and what
// was cut comes to its application, as if it had not been tried, before what
// waited behind it.
func TestQueueReloadAndStopDoNotHangOnAnApplicationThatHangs(t *testing.T) {
	t.Parallel()
	handlers := map[string]func(*testing.T, *harness.App) string{
		"reverse_proxy": func(_ *testing.T, app *harness.App) string { return "reverse_proxy " + app.Addr },
		// Waits for PHP for ever, whatever becomes of the attempt.
		"php_fastcgi": func(t *testing.T, app *harness.App) string {
			return harness.StartPHP(t).FastCGI("relay.php", "env RELAY "+app.Addr)
		},
	}
	for name, handler := range handlers {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			old, next := harness.StartApp(t, harness.Rule{Hold: true}), harness.StartApp(t)
			caddy := harness.NewCaddy(t)
			caddy.Options += "\ngrace_period 5s"
			caddy.ServeQueue(t, harness.QuickRetry+"timeout 1h\n"+handler(t, old))
			caddy.Deliver(t, harness.Messages("c.0", "c.1"), 200)
			old.WaitHeld(t, 1)

			reloaded := make(chan struct{})
			go func() {
				defer close(reloaded)
				caddy.ReloadQueue(t, harness.QuickRetry+"timeout 1h\nreverse_proxy "+next.Addr)
			}()
			// The new config delivers what it accepts, though the old one waits.
			caddy.WaitOutput(t, "waiting for attempts under way")
			answer, err := caddy.Client(t, harness.HTTP1).DeliverAgain(t, harness.Messages("other.0"))
			if err != nil || answer.Status != http.StatusOK {
				t.Errorf("while the old config waits, a delivery is answered with %v, %v", answer, err)
			}
			next.WaitAttempts(t, 1)
			<-reloaded

			caddy.WaitQueueEmpty(t)
			var mids []string
			for _, got := range next.WaitIdle(t) {
				if n := got.Header.Get("X-Instagram-Attempt"); n != "1" {
					t.Errorf("%s came as attempt %s, though the one before was cut short", got.ID(), n)
				}
				mids = append(mids, got.MID(t))
			}
			if got := strings.Join(mids, " "); got != "other.0 c.0 c.1" {
				t.Errorf("the new application got %s, want other.0 c.0 c.1", got)
			}
			if n := caddy.Metric(t, `queue_failed_attempts_total{consumer="default",reason="timeout"}`); n != 0 {
				t.Error("an attempt that was cut short counts as failed")
			}

			next.Behave(harness.Rule{Hold: true})
			caddy.Deliver(t, harness.Messages("c.2"), 200)
			next.WaitHeld(t, 1)
			began := time.Now()
			caddy.Stop()
			if !caddy.Succeeded() {
				t.Errorf("Caddy had to be killed after %s", time.Since(began))
			}
		})
	}
}
