package e2e

import (
	"fmt"
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/caddy-instagram/webhooks/e2e/internal/harness"
)

// errorsOfPHP returns how the example has PHP deal with errors.
func errorsOfPHP(t *testing.T) string {
	t.Helper()
	text, err := os.ReadFile("../examples/php-fpm/Caddyfile")
	if err != nil {
		t.Fatal(err)
	}
	setting := regexp.MustCompile(`env PHP_ADMIN_VALUE "[^"]*"`).Find(text)
	if setting == nil {
		t.Fatal("the example does not say how PHP deals with errors")
	}
	return string(setting)
}

// TestFatalErrorOfPHPIsNoSuccess has scripts that fail. With display_errors PHP
// answers 200 to that, and Meta believes it; with the setting of the example it
// answers 500, whatever the pool says, the script asks for, or was written before.
func TestFatalErrorOfPHPIsNoSuccess(t *testing.T) {
	t.Parallel()
	for name, pool := range map[string]string{
		"without php.ini":    "", // errors are shown by default
		"set by the pool":    "php_flag[display_errors] = on",
		"forced by the pool": "php_admin_flag[display_errors] = on",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			php := harness.StartPHP(t, pool)
			caddy := harness.NewCaddy(t)
			var routes strings.Builder
			for path, env := range map[string]string{
				"shown": "", "hidden": `env PHP_ADMIN_VALUE "display_errors=0"`, "example": errorsOfPHP(t),
			} {
				fmt.Fprintf(&routes, `handle /%[1]s/* {
					%[2]s
					root %[3]s
					uri strip_prefix /%[1]s
					php_fastcgi unix/%[4]s {
						%[5]s
					}
				}
				`, path, harness.Webhook, php.Root, php.Socket, env)
			}
			caddy.Serve(t, "%s", &routes)
			client := caddy.Client(t, harness.HTTP1)
			// In this order, as a setting stays with the worker that got it.
			for _, at := range []struct {
				path              string
				fatal, late, asks int
			}{{"shown", 200, 200, 200}, {"hidden", 500, 200, 500}, {"example", 500, 500, 500}} {
				for script, want := range map[string]int{"fatal.php": at.fatal, "late.php": at.late, "asking.php": at.asks} {
					client.URL = fmt.Sprintf("http://%s/%s/%s", caddy.Addr, at.path, script)
					if answer := client.Deliver(t, harness.Samples(t)[0].Body); answer.Status != want {
						t.Errorf("%s, %s: status %d, want %d", at.path, script, answer.Status, want)
					}
				}
			}
		})
	}
}

// TestQueueTriesAgainAfterAFatalErrorOfPHP has the failing script behind the
// queue, which must not take it for delivered.
func TestQueueTriesAgainAfterAFatalErrorOfPHP(t *testing.T) {
	t.Parallel()
	php := harness.StartPHP(t, "php_admin_flag[display_errors] = on")
	caddy := harness.NewCaddy(t)
	caddy.ServeQueue(t, harness.QuickRetry+php.FastCGI("late.php", errorsOfPHP(t)))
	caddy.Deliver(t, harness.Samples(t)[0].Body, 200)
	caddy.WaitMetricThat(t, `queue_failed_attempts_total{consumer="default",reason="500"}`, func(n float64) bool { return n >= 2 })
	if pending := caddy.Metric(t, caddy.Gauge("pending_events")); pending < 1 {
		t.Errorf("%v events wait", pending)
	}
}

// TestQueueDeliversToPHP has a real PHP behind the queue, which fails at first.
func TestQueueDeliversToPHP(t *testing.T) {
	t.Parallel()
	php := harness.StartPHP(t)
	app := harness.StartApp(t, harness.Rule{Times: 3, Status: 503}, harness.Rule{Secret: harness.Secret})
	caddy := harness.NewCaddy(t)
	caddy.ServeQueue(t, harness.QuickRetry+php.FastCGI("relay.php", "env RELAY "+app.Addr))
	total := 0
	for _, sample := range harness.Samples(t)[:30] {
		caddy.Deliver(t, sample.Body, 200)
	}
	for _, field := range []string{"comments", "messages"} {
		total += int(caddy.Metric(t, fmt.Sprintf(`queue_events_total{consumer="",field=%q,result="accepted"}`, field)))
	}
	if total < 5 {
		t.Fatalf("only %d events", total)
	}
	caddy.WaitQueueEmpty(t)
	failed := 0
	for _, got := range app.WaitIdle(t) {
		if !got.Delivered() {
			failed++
		}
		if got.URI != "/webhooks" || got.Header.Get("Idempotency-Key") == "" || got.Header.Get("Ce-Type") == "" {
			t.Errorf("PHP was told %s %v", got.URI, got.Header)
		}
	}
	if failed != 3 {
		t.Errorf("%d attempts failed, want 3", failed)
	}
}

// TestSignatureInPHPNeedsSecret has the sample that checks signatures miss its secret: it must
// not take what anybody can sign with an empty one.
func TestSignatureInPHPNeedsSecret(t *testing.T) {
	t.Parallel()
	prepended := "php_admin_value[auto_prepend_file] = " + absolute(t, receivers, "php", "signature.php")
	php := harness.StartPHP(t, prepended, "php_admin_flag[display_errors] = on")
	caddy := harness.NewCaddy(t)
	caddy.Serve(t, "%s", php.FastCGI("vars.php"))
	client := caddy.Client(t, harness.HTTP1)
	req := harness.NewDelivery(t, harness.HTTP1, client.URL, "", harness.Samples(t)[0].Body)
	if answer := client.Do(t, req); answer.Status != 500 {
		t.Errorf("a request that is signed with an empty secret is answered with %d, want 500", answer.Status)
	}
}
