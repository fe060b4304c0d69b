package e2e

import (
	"encoding/json"
	"io"
	"net/http"
	"net/http/cookiejar"
	"strings"
	"testing"

	"github.com/caddy-instagram/webhooks/e2e/internal/harness"
)

// TestInspect has a site and the command show the same queue: nobody gets in unasked, the
// text of a message comes only if it is revealed, and that is logged.
func TestInspect(t *testing.T) {
	t.Parallel()
	app := harness.StartApp(t, harness.Rule{Status: 410})
	caddy := harness.NewCaddy(t)
	// The password is that of the documentation's example.
	site := caddy.Site(`handle_path /inspector/* {
	basic_auth {
		alice $2a$14$Zkx19XLiW6VYouLHR5NmfOFU0z2GTNmpkT/5qqR7hx4IjWJPDhjvG
	}
	instagram_inspector
}
handle_path /open/* {
	instagram_inspector
}
handle {
	%s
	instagram_queue {
		store sqlite %q
		%s
		reverse_proxy %s
	}
}`, harness.Webhook, caddy.Queue, harness.QuickRetry, app.Addr)
	caddy.Start(t, site)
	caddy.Deliver(t, harness.Messages("c.0"), http.StatusOK)
	caddy.WaitMetric(t, caddy.Gauge("dead_events"), 1)

	base := strings.TrimSuffix(caddy.URL, "/webhooks")
	for path, want := range map[string]int{"/open/": 403, "/open/api/overview": 403, "/open/api/events": 403, "/inspector/": 401, "/inspector/api/events/1": 401} {
		if resp, text := ask(t, http.DefaultClient, http.MethodGet, base+path); resp.StatusCode != want || strings.Contains(text, "message") {
			t.Errorf("%s: %s %s, want %d", path, resp.Status, text, want)
		}
	}

	command := caddy.StartCommand(t, "instagram", "inspect", "--address", caddy.Admin)
	page := command.WaitOutput(t, `http://127\.0\.0\.1:\d+/\?token=\w+`)[0]
	jar, err := cookiejar.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	browser := &http.Client{Jar: jar}
	if resp, text := ask(t, browser, http.MethodGet, page); resp.StatusCode != 200 || !strings.Contains(text, "<html") {
		t.Fatalf("the page: %s %s", resp.Status, text)
	}
	if resp, _ := ask(t, http.DefaultClient, http.MethodGet, page); resp.StatusCode != 403 {
		t.Errorf("the URL, once more: %s", resp.Status)
	}
	home, _, _ := strings.Cut(page, "?")
	const text = "message 0 of <c>"
	for path, wants := range map[string][]string{
		"api/overview":             {`"dead":1`, `"allow":["retry","discard","pause"]`, `"account":"17841400000000001"`, "answered 410"},
		"api/events?state=dead":    {`"id":"1"`, `"last_error":"410`},
		"api/events?id=1&failed=1": {`"id":"1"`},
		"api/events/1":             {`"headers":[`, "sha256=$IG_SIGNATURE", strings.Repeat("•", len(text))},
		"api/dead":                 {`"cause":"410`, `"count":1`, `"sample":"1"`},
		"api/refusals":             {`"refusals":[`},
	} {
		resp, shown := ask(t, browser, http.MethodGet, home+path)
		for _, want := range wants {
			if resp.StatusCode != 200 || !strings.Contains(shown, want) {
				t.Errorf("%s: %s %s, want %s", path, resp.Status, shown, want)
			}
		}
		if strings.Contains(shown, "message 0") {
			t.Errorf("%s shows the text: %s", path, shown)
		}
	}
	if strings.Contains(caddy.Output(), "was revealed") {
		t.Error("something was revealed without being asked for")
	}
	_, revealed := ask(t, browser, http.MethodPost, home+"api/events/1/reveal")
	var body struct{ Body string }
	if err := json.Unmarshal([]byte(revealed), &body); err != nil || !strings.Contains(body.Body, text) {
		t.Errorf("revealed was %s: %v", revealed, err)
	}
	caddy.WaitOutput(t, `the body of an event was revealed.*"by":"[^"]*caddy instagram inspect.*"id":1`)
	if strings.Contains(caddy.Output(), "message 0 of") {
		t.Error("the text is in the log")
	}
	app.Behave(harness.Rule{})
	if resp, text := ask(t, browser, http.MethodPost, home+"api/events/1/retry"); resp.StatusCode != 200 || text != `{"events":1}` {
		t.Errorf("retry: %s %s", resp.Status, text)
	}
	caddy.WaitMetric(t, caddy.Gauge("dead_events"), 0)
	caddy.WaitQueueEmpty(t)
}

// ask sends a request without a body, and returns the answer and its body.
func ask(t *testing.T, client *http.Client, method, url string) (*http.Response, string) {
	t.Helper()
	resp, err := client.Do(harness.NewRequest(t, method, url, nil))
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp, string(text)
}
