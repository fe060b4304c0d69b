package e2e

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// failing is a site whose deliveries all fail, one way each: by path.
func failing(t *testing.T, g *gateway) string {
	t.Helper()
	// The name of the file is too long, which a start cannot foresee.
	unwritable := g.out(strings.Repeat("x", 250) + "{instagram.id}")
	nobody := freePort(t)
	return fmt.Sprintf(`
	handle /proxied {
		%[1]s
		reverse_proxy 127.0.0.1:%[2]d
	}
	handle /file {
		%[1]s
		instagram_file %[3]q
	}
	handle /queue {
		%[1]s
		instagram_queue {
			store bolt %[4]q
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
	}`, webhook, nobody, unwritable, g.out("HOST.db"))
}

// TestErrorPagesHideNoFailure has every kind of error page answer every kind of
// failure. Header and body are the page's, the status is the failure's: what
// Meta takes for a success is lost, and a forger must not see one.
func TestErrorPagesHideNoFailure(t *testing.T) {
	t.Parallel()
	u := startUpstream(t)
	port := freePort(t)
	g := newGateway(t)
	pages := g.out("pages")
	if err := os.Mkdir(pages, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(pages, "sorry.html"), []byte("a sorry page"), 0o600); err != nil {
		t.Fatal(err)
	}
	site := failing(t, g)
	var sites strings.Builder
	routes := map[string]struct {
		directives, header, body string
	}{
		"none":          {"", "", ""},
		"respond":       {"respond \"all is well\" 200", "", "all is well"},
		"no-content":    {"respond 204", "", ""},
		"application":   {"reverse_proxy " + u.addr, "Content-Type", `"method"`},
		"redirect":      {"redir * /login", "Location", ""},
		"permanent":     {"redir https://elsewhere.example.com{uri} permanent", "Location", ""},
		"page":          {"root * " + pages + "\nrewrite * /sorry.html\nmethod GET\nfile_server", "Content-Type", "a sorry page"},
		"file":          {"instagram_file " + g.out("fallback.jsonl") + "\nrespond 200", "", ""},
		"queue":         {"instagram_queue {\nstore bolt " + g.out("fallback.db") + "\nrespond 200\n}", "", ""},
		"intercept":     {"intercept {\nreplace_status 200\n}\nrespond \"intercepted\" 500", "", "intercepted"},
		"webhook-again": {webhook + "\nrespond 200", "", ""},
		"fails":         {"error \"again\" 200", "", ""},
	}
	for name, route := range routes {
		fmt.Fprintf(&sites, "http://%s.example.com:%d {\n%s\n", name, port, strings.ReplaceAll(site, "HOST", name))
		if route.directives != "" {
			fmt.Fprintf(&sites, "handle_errors {\n%s\n}\n", route.directives)
		}
		sites.WriteString("}\n")
	}
	g.start(t, "auto_https off", sites.String())
	c := newCaller(nil, fmt.Sprintf("127.0.0.1:%d", port), nil)
	body := []byte(`{"object":"instagram","entry":[{"id":"17841400000000001","time":1790000000}]}`)

	for name, route := range routes {
		base := fmt.Sprintf("http://%s.example.com:%d", name, port)
		signed := func(path string) *http.Request { return delivery(t, http1, base+path, secret, body) }
		forged := func(path string) *http.Request { return delivery(t, http1, base+path, secret+"0", body) }
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
			"wrong token":     {verification(t, base+"/queue", "subscribe", "wrong", "1"), 403},
			"no verification": {verification(t, base+"/queue", "", "", ""), 400},
			"no application":  {signed("/proxied"), 502},
			"file":            {signed("/file"), 503},
			"queue":           {signed("/queue"), 503},
			"untaken":         {signed("/untaken"), 503},
			"error of 200":    {signed("/error"), 500},
		} {
			a, err := c.do(tc.req)
			if err != nil {
				t.Errorf("%s, %s: %v", name, failure, err)
				continue
			}
			want := tc.want
			if name == "webhook-again" && failure == "wrong token" {
				want = 400 // an error page gets no query, and so no token
			}
			if a.status != want {
				t.Errorf("%s, %s: status %d, want %d", name, failure, a.status, want)
			}
			if name == "webhook-again" || name == "queue" || name == "file" {
				continue // what these write depends on the failure
			}
			if !strings.Contains(string(a.body), route.body) || route.header != "" && a.header.Get(route.header) == "" {
				t.Errorf("%s, %s: header or body did not stay: %v %q", name, failure, a.header, a.body)
			}
		}
	}
}

// TestAnswersThatMetaTakesForFailuresAreTold has an application answer what it
// may take for success itself. Meta must get 200, or the operator must hear.
func TestAnswersThatMetaTakesForFailuresAreTold(t *testing.T) {
	t.Parallel()
	port := freePort(t)
	g := newGateway(t)
	site := func(name, option, directive string) string {
		return fmt.Sprintf(`http://%s.example.com:%d {
	instagram_webhook {
		verify_token x
		app_secret instagram %s
		%s
	}
	%s
}
`, name, port, secret, option, directive)
	}
	application := httptest.NewServer(http.RedirectHandler("/login?next=people-say", http.StatusFound))
	t.Cleanup(application.Close)
	statuses := []int{200, 201, 202, 204, 302, 401, 500}
	var sites strings.Builder
	for _, status := range statuses {
		directive := fmt.Sprintf("respond %d", status)
		if status == 302 {
			directive = "reverse_proxy " + application.Listener.Addr().String()
		}
		sites.WriteString(site(fmt.Sprintf("plain%d", status), "", directive))
		sites.WriteString(site(fmt.Sprintf("accept%d", status), "accept_2xx", directive))
	}
	g.start(t, "auto_https off", sites.String())
	for _, status := range statuses {
		if want := fmt.Sprintf(`caddy_instagram_answers_total{status="%d"} 0`, status); !strings.Contains(g.adminGet(t, "/metrics"), want+"\n") {
			t.Errorf("no line %q", want)
		}
	}
	c := newCaller(nil, fmt.Sprintf("127.0.0.1:%d", port), nil)
	send := func(name string, want int) {
		t.Helper()
		a := c.mustDo(t, delivery(t, http1, fmt.Sprintf("http://%s.example.com:%d/webhooks", name, port), secret, []byte(`{"object":"instagram"}`)))
		if a.status != want {
			t.Errorf("%s: status %d, want %d", name, a.status, want)
		}
	}
	for _, status := range statuses {
		send(fmt.Sprintf("plain%d", status), status)
		said := fmt.Sprintf("the application answered %d", status)
		if status == 302 {
			said += " to /login"
		}
		if status != 200 {
			g.mustAwait(t, said+"; Meta counts that as a failure")
		}
		want := status
		if status/100 == 2 {
			want = 200
		}
		send(fmt.Sprintf("accept%d", status), want)
	}
	metrics := g.adminGet(t, "/metrics")
	for status, count := range map[string]int{"200": 5, "201": 1, "202": 1, "204": 1, "302": 2, "401": 2, "500": 2, "other": 0, "broken_off": 0} {
		if want := fmt.Sprintf(`caddy_instagram_answers_total{status="%s"} %d`, status, count); !strings.Contains(metrics, want+"\n") {
			t.Errorf("no line %q in:\n%s", want, ours(metrics))
		}
	}
	for where, text := range g.written(t) {
		if strings.Contains(text, "people-say") {
			t.Errorf("the query of a Location is in %s", where)
		}
	}
}

// TestStoreErrorsDoNotFloodTheLog sends many deliveries that cannot be stored,
// which must not make a line each.
func TestStoreErrorsDoNotFloodTheLog(t *testing.T) {
	t.Parallel()
	port := freePort(t)
	g := newGateway(t)
	g.start(t, "auto_https off", fmt.Sprintf("http://hooks.example.com:%d {\n%s\n}\n", port, strings.ReplaceAll(failing(t, g), "HOST", "queue")))
	c := newCaller(nil, fmt.Sprintf("127.0.0.1:%d", port), nil)
	const many = 200
	for path, text := range map[string]string{"/queue": "accepting the delivery", "/file": "writing the delivery", "/untaken": "no handler took the delivery"} {
		before := strings.Count(g.output.String(), text)
		began := time.Now()
		for range many {
			if a := c.mustDo(t, delivery(t, http1, fmt.Sprintf("http://hooks.example.com:%d%s", port, path), secret, []byte("{}"))); a.status != 503 {
				t.Fatalf("%s: status %d, want 503", path, a.status)
			}
		}
		g.mustAwait(t, text)
		// A line a second, of up to two kinds: of the error and of the refusal.
		lines, took := strings.Count(g.output.String(), text)-before, time.Since(began)
		if lines > 2*(int(took.Seconds())+1) {
			t.Errorf("%s: %d refused deliveries made %d lines within %s", path, many, lines, took)
		}
	}
}
