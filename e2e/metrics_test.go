package e2e

import (
	"net/http"
	"testing"

	"github.com/caddy-instagram/webhooks/e2e/internal/harness"
)

// TestMetricsSurviveReload has two handlers in one config, which share the
// counters, and reloads it with --force.
func TestMetricsSurviveReload(t *testing.T) {
	t.Parallel()
	caddy := harness.NewCaddy(t)
	const otherSecret = "22222222222222222222222222222222"
	site := func(path string) string {
		return caddy.Site(`handle %s {
		instagram_webhook {
			verify_token right
			app_secret instagram %s
			max_size 64KiB
		}
		respond taken
	}
	handle /second {
		instagram_webhook {
			verify_token other
			app_secret meta %s
		}
		respond taken
	}`, path, harness.Secret, otherSecret)
	}
	caddy.Start(t, site("/first"))
	client := caddy.Client(t, harness.HTTP1)
	client.NoReuse = true // a reload closes connections
	base := caddy.Base("hooks.example.com")
	verify := func(path string, times, want int) {
		t.Helper()
		for range times {
			req := harness.NewVerification(t, base+path, "subscribe", "right", "1")
			if answer := client.Do(t, req); answer.Status != want {
				t.Errorf("status %d, want %d", answer.Status, want)
			}
		}
	}
	deliver := func(path, key string, times, want int) {
		t.Helper()
		for range times {
			req := harness.NewDelivery(t, harness.HTTP1, base+path, key, []byte(`{"object":"instagram"}`))
			if key == "" {
				req.Header.Del("X-Hub-Signature-256")
			}
			if answer := client.Do(t, req); answer.Status != want {
				t.Errorf("status %d, want %d", answer.Status, want)
			}
		}
	}
	verify("/first", 2, http.StatusOK)
	verify("/second", 3, http.StatusForbidden)
	deliver("/first", harness.Secret, 3, http.StatusOK)
	deliver("/second", otherSecret, 2, http.StatusOK)
	deliver("/second", harness.Secret, 4, http.StatusUnauthorized)
	deliver("/first", "", 1, http.StatusUnauthorized)

	check := func(accepted float64) {
		t.Helper()
		for name, want := range map[string]float64{
			`verifications_total{result="accepted"}`:                  2,
			`verifications_total{result="wrong_token"}`:               3,
			`deliveries_total{result="accepted",secret="instagram"}`:  accepted,
			`deliveries_total{result="accepted",secret="meta"}`:       2,
			`deliveries_total{result="signature_mismatch",secret=""}`: 4,
			`deliveries_total{result="signature_missing",secret=""}`:  1,
		} {
			caddy.CheckMetric(t, name, want)
		}
	}
	check(3)
	for _, path := range []string{"/first", "/renamed", "/first"} {
		caddy.Reload(t, site(path))
		check(3)
	}
	deliver("/first", harness.Secret, 1, http.StatusOK)
	check(4)
}
