package e2e

import (
	"net/http"
	"strings"
	"testing"
	"time"
)

// TestQueueReloadAndStopDoNotHangOnAnApplicationThatHangs has an application that
// never answers, and attempts that may take an hour: `caddy reload` and the end of
// Caddy wait for the grace period only. Meanwhile the new config accepts, and what
// was cut comes to its application, as if it had not been tried, before what
// waited behind it.
func TestQueueReloadAndStopDoNotHangOnAnApplicationThatHangs(t *testing.T) {
	t.Parallel()
	handlers := map[string]func(*testing.T, *application) string{
		"reverse_proxy": func(_ *testing.T, a *application) string { return "reverse_proxy " + a.addr },
		// Waits for PHP for ever, whatever becomes of the attempt.
		"php_fastcgi": func(t *testing.T, a *application) string {
			p := startPHP(t)
			return "root " + p.root + "\nrewrite /relay.php\nphp_fastcgi unix/" + p.socket + " {\nenv RELAY " + a.addr + "\n}"
		},
	}
	for name, handler := range handlers {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			old, next := startApplication(t), startApplication(t)
			old.behave(t, rule{Hold: true})
			g := newQueueGateway(t)
			g.options += "\ngrace_period 2s"
			g.serve(t, quick+"timeout 1h\n"+handler(t, old))
			g.send(t, talks(talk("c", 0), talk("c", 1)), 200)
			old.awaitHeld(t, 1)

			reloaded := make(chan struct{})
			go func() {
				defer close(reloaded)
				g.change(t, quick+"timeout 1h\nreverse_proxy "+next.addr)
			}()
			// The new config delivers what it accepts, though the old one waits.
			client := &http.Client{Transport: new(http.Transport), Timeout: patience}
			defer client.CloseIdleConnections()
			g.mustAwait(t, "waiting for attempts under way")
			for broken := 0; ; broken++ { // a reload may break a connection off
				resp, err := client.Do(delivery(t, http1, g.url, secret, talks(talk("other", 0))))
				if err == nil {
					resp.Body.Close()
					if resp.StatusCode != http.StatusOK {
						t.Errorf("while the old config waits, a delivery is answered with %s", resp.Status)
					}
					break
				}
				if broken == 5 {
					t.Fatal(err)
				}
			}
			next.await(t, 1)
			<-reloaded

			g.awaitMetric(t, g.gauge("pending_events"), 0)
			checkAll := func(attempts []attempt) (ids []string) {
				for _, got := range attempts {
					if n := got.Header.Get("X-Instagram-Attempt"); n != "1" {
						t.Errorf("%s came as attempt %s, though the one before was cut short", got.id(), n)
					}
					ids = append(ids, got.id()[strings.LastIndex(got.id(), "/")+1:])
				}
				return ids
			}
			if got := strings.Join(checkAll(next.idle(t)), " "); got != "other.0 c.0 c.1" {
				t.Errorf("the new application got %s, want other.0 c.0 c.1", got)
			}
			if strings.Contains(g.adminGet(t, "/metrics"), `queue_failed_attempts_total{reason="timeout"} 1`) {
				t.Error("an attempt that was cut short counts as failed")
			}

			next.behave(t, rule{Hold: true})
			g.send(t, talks(talk("c", 2)), 200)
			next.awaitHeld(t, 1)
			began := time.Now()
			g.stop()
			if !g.cmd.ProcessState.Success() {
				t.Errorf("Caddy had to be killed after %s: %s", time.Since(began), g.cmd.ProcessState)
			}
		})
	}
}
