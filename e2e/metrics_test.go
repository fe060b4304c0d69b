package e2e

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
)

// TestMetricsSurviveReload has two handlers in one config, which share the
// counters, and reloads it with --force.
func TestMetricsSurviveReload(t *testing.T) {
	t.Parallel()
	port := freePort(t)
	g := newGateway(t)
	site := func(path string) string {
		return fmt.Sprintf(`http://:%d {
	handle %s {
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
			app_secret meta 22222222222222222222222222222222
		}
		respond taken
	}
}`, port, path, secret)
	}
	g.start(t, "auto_https off", site("/first"))
	c := newCaller(nil, fmt.Sprintf("127.0.0.1:%d", port), nil)
	send := func(req *http.Request, times, want int) {
		t.Helper()
		for range times {
			if a := c.mustDo(t, req.Clone(t.Context())); a.status != want {
				t.Errorf("status %d, want %d", a.status, want)
			}
		}
	}
	const base = "http://hooks.example.com"
	send(verification(t, base+"/first", "subscribe", "right", "1"), 2, 200)
	send(verification(t, base+"/second", "subscribe", "right", "1"), 3, 403)
	deliver := func(path, key string, change func(*http.Request), times, want int) {
		t.Helper()
		for range times {
			req := delivery(t, http1, base+path, key, []byte(`{"object":"instagram"}`))
			if change != nil {
				change(req)
			}
			send(req, 1, want)
		}
	}
	deliver("/first", secret, nil, 3, 200)
	deliver("/second", "22222222222222222222222222222222", nil, 2, 200)
	deliver("/second", secret, nil, 4, 401)
	deliver("/first", secret, func(r *http.Request) { r.Header.Del("X-Hub-Signature-256") }, 1, 401)

	want := func(lines ...string) {
		t.Helper()
		metrics := "\n" + g.adminGet(t, "/metrics")
		for _, line := range lines {
			if !strings.Contains(metrics, "\n"+line+"\n") {
				t.Errorf("no line %q in:\n%s", line, ours(metrics))
			}
		}
	}
	before := []string{
		`caddy_instagram_verifications_total{result="accepted"} 2`,
		`caddy_instagram_verifications_total{result="wrong_token"} 3`,
		`caddy_instagram_deliveries_total{result="accepted",secret="meta"} 2`,
		`caddy_instagram_deliveries_total{result="signature_mismatch",secret=""} 4`,
		`caddy_instagram_deliveries_total{result="signature_missing",secret=""} 1`,
	}
	want(before...)
	want(`caddy_instagram_deliveries_total{result="accepted",secret="instagram"} 3`)
	for _, path := range []string{"/first", "/renamed", "/first"} {
		g.reload(t, g.write(t, "next", g.caddyfile("auto_https off", site(path))))
		want(before...)
	}
	deliver("/first", secret, nil, 1, 200)
	want(before...)
	want(`caddy_instagram_deliveries_total{result="accepted",secret="instagram"} 4`)
}

// ours are the metrics of the plugin.
func ours(metrics string) string {
	var lines []string
	for line := range strings.Lines(metrics) {
		if strings.HasPrefix(line, "caddy_instagram_") {
			lines = append(lines, line)
		}
	}
	return strings.Join(lines, "")
}
