package inspector

import (
	"net/http"
	"strings"
	"testing"

	"go.uber.org/zap"
)

func TestPage(t *testing.T) {
	t.Parallel()
	s := newSite(t, new(Handler))
	for target, want := range map[string]struct {
		status int
		kind   string // of the content, or the location
	}{
		"/":                       {200, "text/html"},
		"/inspector/":             {200, "text/html"},
		"/api/inspector/":         {404, "application/json"}, // is not a good place
		"/inspector":              {404, "text/plain"},
		"/app.js":                 {200, "text/javascript"},
		"/inspector/app.js":       {200, "text/javascript"},
		"/style.css":              {200, "text/css"},
		"/icon.svg":               {200, "image/svg+xml"},
		"/index.html":             {404, "text/plain"},
		"/page":                   {404, "text/plain"},
		"/..%2fserver.go":         {404, "text/plain"},
		"/inspector/../server.go": {404, "text/plain"},
	} {
		w := s.serve(t, "GET", target, loggedIn("alice"))
		if got := w.Header().Get("Content-Type"); w.Code != want.status || !strings.HasPrefix(got, want.kind) {
			t.Errorf("%s: %d %s, want %v", target, w.Code, got, want)
		}
	}
	if w := s.serve(t, "POST", "/", loggedIn("alice")); w.Code != 405 {
		t.Errorf("POST: %d", w.Code)
	}
	// Without its prefix, the path of the page is empty.
	stripped := func(r *http.Request) { r.URL.Path = "/" }
	if w := s.serve(t, "GET", "/x/inspector", loggedIn("alice"), stripped); w.Code != http.StatusFound || w.Header().Get("Location") != "inspector/" {
		t.Errorf("without a slash: %d %s", w.Code, w.Header().Get("Location"))
	}
	if w := s.serve(t, "GET", "/x/inspector/", loggedIn("alice"), stripped); w.Code != 200 {
		t.Errorf("with a slash: %d", w.Code)
	}
}

// Nothing of the page is in a line of its own HTML, which the policy forbids, or elsewhere.
func TestPageNeedsNothing(t *testing.T) {
	t.Parallel()
	w := newSite(t, new(Handler)).serve(t, "GET", "/", loggedIn("alice"))
	for _, text := range []string{"http:", "https:", "<style", "style=", "onload", "onclick", "javascript:"} {
		if strings.Contains(w.Body.String(), text) {
			t.Errorf("the page has %s", text)
		}
	}
}

func TestEndpoints(t *testing.T) {
	t.Parallel()
	all := newSite(t, &Handler{Allow: []string{retry, discard, pause}})
	none := newSite(t, new(Handler))
	for target, want := range map[string]struct {
		asked  string
		change bool
	}{
		"GET /api/live?failed=1&kind=attempt":                {`"GET /instagram/live?failed=true&kind=attempt"`, false},
		"GET /x/api/events?test=1&echo=1&before=7&since=24h": {`"GET /instagram/events?before=7&echo=true&since=24h&test=true"`, false},
		"GET /api/events/18446744073709551615?consumer=crm":  {`"GET /instagram/events/18446744073709551615?consumer=crm"`, false},
		"GET /api/dead?store=q":                              {`"GET /instagram/dead?store=q"`, false},
		"GET /api/refusals":                                  {`{"refusals":{"asked":"GET /instagram/refusals"`, false},
		"POST /api/events/7/reveal?by=mallory":               {`"POST /instagram/events/7/reveal?by=alice"`, false},
		"POST /api/events/7/retry?consumer=crm":              {`{"events":0}`, true},
		"POST /api/events/7/discard":                         {`"DELETE /instagram/queue/events/7?by=alice"`, true},
		"POST /api/retry?state=dead&rate=10":                 {`{"events":17,"before":"18446744073709551615"}`, true},
		"POST /api/discard?state=dead&dry_run=1":             {`{"events":17,"before":"18446744073709551615"}`, true},
		"POST /api/retry?state=dead&dry_run=false":           {`{"events":17,"before":"18446744073709551615"}`, true},
		"POST /api/pause?consumer=crm":                       {`"POST /instagram/queue/pause?consumer=crm"`, true},
		"POST /api/check?url=x":                              {`"POST /instagram/check?url=x"`, false},
		"POST /api/resume?consumer=crm":                      {`"POST /instagram/queue/resume?consumer=crm"`, true},
	} {
		method, path, _ := strings.Cut(target, " ")
		w := all.serve(t, method, path, loggedIn("alice"))
		if w.Code != 200 || !strings.Contains(w.Body.String(), want.asked) {
			t.Errorf("%s: %d %s, want %s", target, w.Code, w.Body, want.asked)
		}
		w = none.serve(t, method, path, loggedIn("alice"))
		if (w.Code == http.StatusForbidden) != want.change {
			t.Errorf("%s, where nothing is allowed: %d %s", target, w.Code, w.Body)
		}
		if want.change {
			other := map[string]string{"POST": "GET", "GET": "POST"}[method]
			if w := all.serve(t, other, path, loggedIn("alice")); w.Code != 404 && w.Code != 405 {
				t.Errorf("%s %s: %d %s", other, path, w.Code, w.Body)
			}
		}
	}
	if n := all.logs.FilterField(zap.String("by", "alice")).Len(); n != 6 { // a dry run changes nothing
		t.Errorf("%d changes are logged, want 6: %v", n, all.logs.All())
	}
	if n := none.logs.Len(); n != 0 {
		t.Errorf("%d lines are logged of what was not allowed", n)
	}
	for _, target := range []string{
		"GET /api/queue/backup?to=/x", "GET /api/check", "GET /api/events/x", "GET /api/events/-1", "GET /api/", "POST /api/queue/drop?consumer=crm",
		"DELETE /api/events/1", "GET /api/config", "POST /api/overview",
	} {
		method, path, _ := strings.Cut(target, " ")
		if w := all.serve(t, method, path, loggedIn("alice")); w.Code != 404 && w.Code != 405 || strings.Contains(w.Body.String(), "asked") {
			t.Errorf("%s: %d %s", target, w.Code, w.Body)
		}
	}
}

// The admin API learns nothing that is not its business, such as cookies.
func TestForwardedHeaders(t *testing.T) {
	t.Parallel()
	w := newSite(t, new(Handler)).serve(t, "GET", "/api/live", loggedIn("alice"), withHeader("Last-Event-Id", "7"), withHeader("Cookie", "session=1"))
	if got := w.Body.String(); !strings.Contains(got, `"last":"7","cookie":""`) {
		t.Errorf("it was told %s", got)
	}
}

// What another site has a browser send, with the user's cookies or credentials, is refused.
func TestCrossSite(t *testing.T) {
	t.Parallel()
	s := newSite(t, &Handler{Allow: []string{retry}})
	const other = "https://evil.example"
	for name, c := range map[string]struct {
		method  string
		prepare func(*http.Request)
		status  int
	}{
		"POST of another site":   {"POST", withHeader("Sec-Fetch-Site", "cross-site"), 403},
		"POST of a sister":       {"POST", withHeader("Sec-Fetch-Site", "same-site"), 403},
		"POST of an old browser": {"POST", withHeader("Origin", other), 403},
		"POST of a sandbox":      {"POST", withHeader("Origin", "null"), 403},
		"POST of the page":       {"POST", withHeader("Sec-Fetch-Site", "same-origin"), 200},
		"POST by curl":           {"POST", func(*http.Request) {}, 200},
		"GET of another site":    {"GET", withHeader("Sec-Fetch-Site", "cross-site"), 403},
		"GET of the page":        {"GET", withHeader("Sec-Fetch-Site", "same-origin"), 200},
	} {
		target := "/api/retry?state=dead"
		if c.method == "GET" {
			target = "/api/live"
		}
		if w := s.serve(t, c.method, target, loggedIn("alice"), c.prepare); w.Code != c.status {
			t.Errorf("%s: %d %s, want %d", name, w.Code, w.Body, c.status)
		}
	}
}
