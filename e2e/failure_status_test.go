package e2e

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/caddy-instagram/webhooks/e2e/internal/harness"
)

// failing is a site whose deliveries all fail, one way each: by path.
func failing(t *testing.T, caddy *harness.Caddy) string {
	t.Helper()
	// The name of the file is too long, which a start cannot foresee.
	unwritable := caddy.Out(strings.Repeat("x", 250) + "{instagram.id}")
	return fmt.Sprintf(`
	handle /proxied {
		%[1]s
		reverse_proxy %[2]s
	}
	handle /file {
		%[1]s
		instagram_file %[3]q
	}
	handle /queue {
		%[1]s
		instagram_queue {
			store sqlite %[4]q
			min_free_space 1EiB
			respond 200
		}
	}
	handle /untaken {
		%[1]s
	}
	handle /error {
		%[1]s
		error "on purpose" 200
	}`, harness.Webhook, harness.FreeAddr(t), unwritable, caddy.Out("HOST.db"))
}

// TestErrorPagesHideNoFailure has every kind of error page answer every kind of
// failure. Header and body are the page's, the status is the failure's: what
// Meta takes for a success is lost, and a forger must not see one.
func TestErrorPagesHideNoFailure(t *testing.T) {
	t.Parallel()
	app := harness.StartApp(t)
	caddy := harness.NewCaddy(t)
	pages := caddy.Out("pages")
	if err := os.Mkdir(pages, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(pages, "sorry.html"), []byte("a sorry page"), 0o600); err != nil {
		t.Fatal(err)
	}
	site := failing(t, caddy)
	var sites strings.Builder
	routes := map[string]struct {
		directives, header, body string
	}{
		"none":          {"", "", ""},
		"respond":       {"respond \"all is well\" 200", "", "all is well"},
		"no-content":    {"respond 204", "", ""},
		"application":   {"reverse_proxy " + app.Addr, "Content-Type", `"method"`},
		"redirect":      {"redir * /login", "Location", ""},
		"permanent":     {"redir https://elsewhere.example.com{uri} permanent", "Location", ""},
		"page":          {"root * " + pages + "\nrewrite * /sorry.html\nmethod GET\nfile_server", "Content-Type", "a sorry page"},
		"file":          {"instagram_file " + caddy.Out("fallback.jsonl") + "\nrespond 200", "", ""},
		"queue":         {"instagram_queue {\nstore sqlite " + caddy.Out("fallback.db") + "\nrespond 200\n}", "", ""},
		"intercept":     {"intercept {\nreplace_status 200\n}\nrespond \"intercepted\" 500", "", "intercepted"},
		"webhook-again": {harness.Webhook + "\nrespond 200", "", ""},
		"fails":         {"error \"again\" 200", "", ""},
	}
	for name, route := range routes {
		fmt.Fprintf(&sites, "%s {\n%s\n", caddy.Base(name+".example.com"), strings.ReplaceAll(site, "HOST", name))
		if route.directives != "" {
			fmt.Fprintf(&sites, "handle_errors {\n%s\n}\n", route.directives)
		}
		sites.WriteString("}\n")
	}
	caddy.Start(t, sites.String())
	client := caddy.Client(t, harness.HTTP1)
	body := []byte(`{"object":"instagram","entry":[{"id":"17841400000000001","time":1790000000}]}`)

	for name, route := range routes {
		base := caddy.Base(name + ".example.com")
		signed := func(path string) *http.Request {
			return harness.NewDelivery(t, harness.HTTP1, base+path, harness.Secret, body)
		}
		forged := func(path string) *http.Request {
			return harness.NewDelivery(t, harness.HTTP1, base+path, harness.Secret+"0", body)
		}
		unsigned := signed("/queue")
		unsigned.Header.Del("X-Hub-Signature-256")
		put := signed("/queue")
		put.Method = http.MethodPut
		for failure, tc := range map[string]struct {
			req  *http.Request
			want int
		}{
			"forged":          {forged("/proxied"), 401},
			"forged, queue":   {forged("/queue"), 401},
			"unsigned":        {unsigned, 401},
			"method":          {put, 405},
			"wrong token":     {harness.NewVerification(t, base+"/queue", "subscribe", "wrong", "1"), 403},
			"no verification": {harness.NewVerification(t, base+"/queue", "", "", ""), 400},
			"no application":  {signed("/proxied"), 502},
			"file":            {signed("/file"), 503},
			"queue":           {signed("/queue"), 503},
			"untaken":         {signed("/untaken"), 503},
			"error of 200":    {signed("/error"), 500},
		} {
			answer, err := client.Try(tc.req)
			if err != nil {
				t.Errorf("%s, %s: %v", name, failure, err)
				continue
			}
			want := tc.want
			if name == "webhook-again" && failure == "wrong token" {
				want = 400 // an error page gets no query, and so no token
			}
			if answer.Status != want {
				t.Errorf("%s, %s: status %d, want %d", name, failure, answer.Status, want)
			}
			if name == "webhook-again" || name == "queue" || name == "file" {
				continue // what these write depends on the failure
			}
			if !strings.Contains(answer.Body, route.body) || route.header != "" && answer.Header.Get(route.header) == "" {
				t.Errorf("%s, %s: header or body did not stay: %v %q", name, failure, answer.Header, answer.Body)
			}
		}
	}
}

// TestAnswersThatMetaTakesForFailuresAreTold has an application answer what it
// may take for success itself. Meta must get 200, or the operator must hear.
func TestAnswersThatMetaTakesForFailuresAreTold(t *testing.T) {
	t.Parallel()
	caddy := harness.NewCaddy(t)
	app := httptest.NewServer(http.RedirectHandler("/login?next=people-say", http.StatusFound))
	t.Cleanup(app.Close)
	site := func(name, option, directive string) string {
		return fmt.Sprintf("%s {\ninstagram_webhook {\nverify_token x\napp_secret instagram %s\n%s\n}\n%s\n}\n",
			caddy.Base(name+".example.com"), harness.Secret, option, directive)
	}
	statuses := []int{200, 201, 202, 204, 302, 401, 500}
	var sites strings.Builder
	for _, status := range statuses {
		directive := fmt.Sprintf("respond %d", status)
		if status == 302 {
			directive = "reverse_proxy " + app.Listener.Addr().String()
		}
		sites.WriteString(site(fmt.Sprintf("plain%d", status), "", directive))
		sites.WriteString(site(fmt.Sprintf("accept%d", status), "accept_2xx", directive))
	}
	caddy.Start(t, sites.String())
	for _, status := range statuses {
		caddy.CheckMetric(t, fmt.Sprintf(`answers_total{status="%d"}`, status), 0)
	}
	for _, status := range statuses {
		deliverTo(t, caddy, fmt.Sprintf("plain%d", status), "/webhooks", status)
		said := fmt.Sprintf("the application answered %d", status)
		if status == 302 {
			said += " to /login"
		}
		if status != 200 {
			caddy.WaitOutput(t, said+"; Meta counts that as a failure")
		}
		want := status
		if status/100 == 2 {
			want = 200
		}
		deliverTo(t, caddy, fmt.Sprintf("accept%d", status), "/webhooks", want)
	}
	for status, count := range map[string]float64{
		"200": 5, "201": 1, "202": 1, "204": 1, "302": 2, "401": 2, "500": 2, "other": 0, "broken_off": 0,
	} {
		caddy.CheckMetric(t, fmt.Sprintf("answers_total{status=%q}", status), count)
	}
	for where, text := range caddy.Written(t) {
		if strings.Contains(text, "people-say") {
			t.Errorf("the query of a Location is in %s", where)
		}
	}
}

// deliverTo sends a delivery to a site at example.com.
func deliverTo(t *testing.T, caddy *harness.Caddy, name, path string, want int) {
	t.Helper()
	client := caddy.Client(t, harness.HTTP1)
	client.URL = caddy.Base(name+".example.com") + path
	if answer := client.Deliver(t, []byte(`{"object":"instagram"}`)); answer.Status != want {
		t.Errorf("%s%s: status %d, want %d", name, path, answer.Status, want)
	}
}
