package file

import (
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/caddy-instagram/webhooks/event"
)

// eventOf returns the one event of a delivery.
func eventOf(t testing.TB, body string) *event.Event {
	t.Helper()
	events := event.Split([]byte(body))
	if len(events) != 1 {
		t.Fatalf("got %d events", len(events))
	}
	return &events[0]
}

func change(account, field string) string {
	return `{"object":"instagram","entry":[{"id":"` + account + `","time":1767225600,"changes":[{"field":"` + field + `","value":{"id":"1"}}]}]}`
}

func TestPath(t *testing.T) {
	t.Setenv("PATH_TEST_DIR", "/srv/events.d")
	t.Setenv("PATH_TEST_NESTED", "/srv/{env.PATH_TEST_DIR}")
	year := time.Now().Format("2006")
	for _, tc := range []struct{ template, account, field, want string }{
		{"/a/events.jsonl", "1", "comments", "/a/events.jsonl"},
		{"/a/../b.jsonl", "1", "comments", "/b.jsonl"},
		{"{env.PATH_TEST_NESTED}/{instagram.field}", "1", "comments", "/srv/{env.PATH_TEST_DIR}/comments"},
		{`/a/\{x\}/{instagram.field}`, "1", "comments", "/a/{x}/comments"},
		{"{env.PATH_TEST_DIR}/x.jsonl", "1", "comments", "/srv/events.d/x.jsonl"},
		{"/a/{instagram.account}/{instagram.field}.jsonl", "17841400000000001", "live_comments", "/a/17841400000000001/live_comments.jsonl"},
		{"/a/{instagram.object}-{instagram.test}.jsonl", "0", "comments", "/a/instagram-true.jsonl"},
		{"/a/{time.now.year}.jsonl", "1", "comments", "/a/" + year + ".jsonl"},
		{"/a/{instagram.field}.jsonl", "1", "../../etc/passwd", "/a/______etc_passwd.jsonl"},
		{"/a/{instagram.field}.jsonl", "1", "..", "/a/__.jsonl"},
		{"/a/{instagram.field}.jsonl", "1", `c:\\x`, "/a/c__x.jsonl"},
		{"/a/{instagram.field}.jsonl", "1", `\u0000é\n`, "/a/___.jsonl"},
		{"/a/{instagram.field}.jsonl", "1", "{env.PATH_TEST_DIR}", "/a/_env_PATH_TEST_DIR_.jsonl"},
		{"/a/{instagram.account}x", "", "comments", "/a/_x"},
		{"/a/{instagram.account}", strings.Repeat("9", 1000), "comments", "/a/" + strings.Repeat("9", maxValue)},
	} {
		p, err := newPath(tc.template)
		if err != nil {
			t.Errorf("%s: %v", tc.template, err)
			continue
		}
		want, err := filepath.Abs(tc.want)
		if err != nil {
			t.Fatal(err)
		}
		if got := p.of(eventOf(t, change(tc.account, tc.field))); got != want {
			t.Errorf("%s: got %s, want %s", tc.template, got, want)
		}
		if fixed := !strings.Contains(tc.template, "{instagram") && !strings.Contains(tc.template, "{time"); (len(p.keys) == 0) != fixed {
			t.Errorf("%s: fixed is %t", tc.template, !fixed)
		}
	}
}

func TestPathErrors(t *testing.T) {
	t.Setenv("PATH_TEST_EMPTY", "")
	for template, want := range map[string]string{
		"":                                "a path is needed",
		"{env.PATH_TEST_EMPTY}/x":         "{env.PATH_TEST_EMPTY}",
		"{env.PATH_TEST_UNSET}/x":         "{env.PATH_TEST_UNSET}",
		"/a/{nonesuch}.jsonl":             "{nonesuch}",
		"/a/{instagram.nonesuch}.jsonl":   "{instagram.nonesuch}",
		"/a/{instagram.secret}.jsonl":     "{instagram.secret}",
		"/a/{http.request.host}.jsonl":    "{http.request.host}",
		"/a/{file./nonexistent/x}/.jsonl": "{file./nonexistent/x}",
	} {
		if _, err := newPath(template); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: got %v, want an error with %q", template, err, want)
		}
	}
}
