package matcher

import (
	"context"
	"encoding/json"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"

	"github.com/caddy-instagram/webhooks/event"
)

const (
	comment = `{"object":"instagram","entry":[{"id":"17841400000000001","time":1767225600,"changes":[{"field":"comments","value":{"id":"1","from":{"id":"2"}}}]}]}`
	echo    = `{"object":"instagram","entry":[{"id":"17841400000000002","time":1767225600000,"messaging":[{"sender":{"id":"17841400000000002"},"recipient":{"id":"3"},"timestamp":1767225600000,"message":{"mid":"m","text":"t","is_echo":true}}]}]}`
	test    = `{"object":"instagram","entry":[{"id":"0","time":1767225600,"changes":[{"field":"mentions","value":{"media_id":"1","comment_id":"2"}}]}]}`
	page    = `{"object":"page","entry":[{"id":"9","time":1767225600,"changes":[{"field":"feed","value":{"item":"status"}}]}]}`
	both    = `[` + comment + `,` + echo + `]`
)

// cases are the options of a matcher in a Caddyfile, the same as an
// expression, and what they match.
var cases = []struct{ block, expression, matches string }{
	{"", `instagram({})`, "comment echo test page both"},
	{"field comments", `instagram({'field': 'comments'})`, "comment both"},
	{"field comments messages", `instagram({'field': ['comments', 'messages']})`, "comment echo both"},
	{"field comments\nfield mentions", `instagram({'field': ['comments', 'mentions']})`, "comment test both"},
	{"field Comments", `instagram({'field': 'Comments'})`, ""},
	{"field feed of_tomorrow", `instagram({'field': ['feed', 'of_tomorrow']})`, "page"}, // any name
	{"account 17841400000000002", `instagram({'account': '17841400000000002'})`, "echo both"},
	{"object page user", `instagram({'object': ['page', 'user']})`, "page"},
	{"test", `instagram({'test': 'true'})`, "test"},
	{"test false", `instagram({'test': 'false'})`, "comment echo page both"},
	{"echo", `instagram({'echo': 'true'})`, "echo both"},
	{"echo false", `instagram({'echo': 'false'})`, "comment test page both"},
	{"field comments\necho", `instagram({'field': 'comments', 'echo': 'true'})`, ""}, // one event must fit both
	{"field messages\necho true", `instagram({'field': 'messages', 'echo': 'true'})`, "echo both"},
}

var deliveries = map[string]string{"comment": comment, "echo": echo, "test": test, "page": page, "both": both}

func TestMatch(t *testing.T) {
	t.Parallel()
	ctx, cancel := caddy.NewContext(caddy.Context{Context: context.Background()})
	t.Cleanup(cancel)
	for _, tc := range cases {
		m := new(Match)
		if err := m.UnmarshalCaddyfile(caddyfile.NewTestDispenser("instagram {\n" + tc.block + "\n}")); err != nil {
			t.Fatalf("%q: %v", tc.block, err)
		}
		config, err := json.Marshal(m)
		if err != nil {
			t.Fatal(err)
		}
		loaded, err := ctx.LoadModuleByID("http.matchers.instagram", config)
		if err != nil {
			t.Fatalf("%s: %v", config, err)
		}
		expression := &caddyhttp.MatchExpression{Expr: tc.expression}
		if err := expression.Provision(ctx); err != nil {
			t.Fatalf("%s: %v", tc.expression, err)
		}
		for form, matcher := range map[string]caddyhttp.RequestMatcherWithError{
			tc.block: m, string(config): loaded.(caddyhttp.RequestMatcherWithError), tc.expression: expression,
		} {
			for name, body := range deliveries {
				r := httptest.NewRequest("POST", "/", nil)
				r = caddyhttp.PrepareRequest(r, caddy.NewReplacer(), httptest.NewRecorder(), new(caddyhttp.Server))
				r = r.WithContext(event.NewContext(r.Context(), &event.Delivery{Body: []byte(body)}))
				got, err := matcher.MatchWithError(r)
				if want := strings.Contains(" "+tc.matches+" ", " "+name+" "); err != nil || got != want {
					t.Errorf("%q matches %s: got %t, %v; want %t", form, name, got, err, want)
				}
			}
		}
	}
}

func TestMatchNeedsAuthentication(t *testing.T) {
	t.Parallel()
	if got, err := (Match{}).MatchWithError(httptest.NewRequest("POST", "/", strings.NewReader(comment))); got || err != nil {
		t.Errorf("a request that was not authenticated: got %t, %v", got, err)
	}
}

func TestMatchErrors(t *testing.T) {
	t.Parallel()
	for block, want := range map[string]string{
		"instagram comments":                "wrong argument count",
		"instagram {\nfield\n}":             "field takes at least one field such as comments",
		"instagram {\nfields comments\n}":   `unknown option "fields"`,
		"instagram {\nfield a \"\"\n}":      "the name of a field is empty",
		"instagram {\ntest maybe\n}":        "test takes true or false",
		"instagram {\necho true false\n}":   "echo takes true or false",
		"instagram {\naccount 1\nobject\n}": "object takes at least one kind of object such as instagram",
	} {
		err := new(Match).UnmarshalCaddyfile(caddyfile.NewTestDispenser(block))
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: got %v, want an error with %q", block, err, want)
		}
	}
	ctx, cancel := caddy.NewContext(caddy.Context{Context: context.Background()})
	t.Cleanup(cancel)
	for _, expression := range []string{`instagram({'nonesuch': 'x'})`, `instagram({'test': 'maybe'})`, `instagram('comments')`, `instagram({'field': []})`, `instagram({'field': ''})`} {
		if err := (&caddyhttp.MatchExpression{Expr: expression}).Provision(ctx); err == nil {
			t.Errorf("%s: no error", expression)
		}
	}
}
