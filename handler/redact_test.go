package handler

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
	"go.uber.org/zap/zapcore"

	"github.com/caddy-instagram/webhooks/internal/meta"
)

// seenByErrorRoutes is what the error routes may repeat of a request.
const seenByErrorRoutes = `{http.request.uri} {http.request.uri_escaped} {http.request.uri.query} {http.request.uri.query.hub.verify_token} ` +
	`{http.request.orig_uri} {http.request.orig_uri.query} {http.request.orig_uri.prefixed_query} ` +
	`{http.request.header.X-Hub-Signature} {http.request.header.X-Hub-Signature-256}`

// serveThrough serves r as Caddy's server would. Where copied is set, a handler
// before this one has made a copy of the request, as tracing does.
func (f *fixture) serveThrough(t *testing.T, r *http.Request, copied bool) *httptest.ResponseRecorder {
	t.Helper()
	w := httptest.NewRecorder()
	r = caddyhttp.PrepareRequest(r, caddy.NewReplacer(), w, f.server)
	if copied {
		type key struct{}
		r = r.WithContext(context.WithValue(r.Context(), key{}, true))
	}
	if err := f.ServeHTTP(w, r, caddyhttp.HandlerFunc(nothing)); err != nil {
		t.Errorf("an error left the handler: %v", err)
	}
	return w
}

// expectNoLine fails the test if a line of the log holds one of the texts.
func (f *fixture) expectNoLine(t *testing.T, texts ...string) {
	t.Helper()
	encoder := zapcore.NewJSONEncoder(zapcore.EncoderConfig{MessageKey: "msg"})
	for _, entry := range f.logs.All() {
		buf, err := encoder.EncodeEntry(entry.Entry, entry.Context)
		if err != nil {
			t.Fatal(err)
		}
		for _, text := range texts {
			if strings.Contains(buf.String(), text) {
				t.Errorf("%s is in the log: %s", text, buf)
			}
		}
	}
}

// refusedWithSecrets are requests that are refused and have a secret each.
func refusedWithSecrets() map[string]*http.Request {
	forged := newDelivery(testBody)
	forged.URL.RawQuery = "hub.verify_token=" + testToken
	forged.RequestURI += "?" + forged.URL.RawQuery
	forged.Header.Set(meta.HeaderSignature, sign("x", testBody))
	forged.Header.Set("X-Hub-Signature", "sha1="+sign("x", testBody)[7:])
	head := newVerification("hub.mode=subscribe&hub.challenge=1&hub.verify_token=" + testToken)
	head.Method = http.MethodHead
	return map[string]*http.Request{
		"forged":       forged,
		"method":       head,
		"verification": newVerification("hub.mode=other&hub.challenge=1&hub.verify_token=" + testToken),
		"ill-formed":   newVerification("hub.mode=%&" + testToken),
	}
}

// TestErrorRoutesSeeNoTokenOfARefusal checks that an error page, and an
// application that makes one, gets neither the verify token nor the signatures of
// what was refused.
func TestErrorRoutesSeeNoTokenOfARefusal(t *testing.T) {
	t.Parallel()
	body, _ := json.Marshal(seenByErrorRoutes)
	for does, handler := range map[string]string{
		"placeholders": `{"handler":"static_response","body":` + string(body) + `}`,
		"request":      `{"handler":"test_route","does":"repeat the request"}`,
	} {
		for _, copied := range []bool{false, true} {
			for name, r := range refusedWithSecrets() {
				f := newFixture(t)
				f.server.Logs = new(caddyhttp.ServerLogConfig)
				f.server.Errors = errorRoute(t, handler)
				a := f.serveThrough(t, r, copied)
				for _, secret := range []string{testToken, "hub.", sign("x", testBody)[7:]} {
					if strings.Contains(a.Body.String(), secret) {
						t.Errorf("%s, %s, copied: %t: the error route sees %q", does, name, copied, a.Body)
					}
				}
				if !strings.Contains(a.Body.String(), "/webhooks") {
					t.Errorf("%s, %s, copied: %t: the error route sees no path: %q", does, name, copied, a.Body)
				}
				lines := f.logs.FilterMessage("handled request").All()
				if len(lines) != 1 {
					t.Fatalf("%s, %s: %d access log lines", does, name, len(lines))
				}
				if uri := lines[0].ContextMap()["request"].(map[string]any)["uri"]; uri != "/webhooks?REDACTED" && uri != "https://hooks.example.com/webhooks?REDACTED" {
					t.Errorf("%s, %s: the log has the URI %v", does, name, uri)
				}
			}
		}
	}
}

// TestErrorRoutesSeeTheQueryOfAnAuthenticDelivery checks that only what was refused
// loses its query.
func TestErrorRoutesSeeTheQueryOfAnAuthenticDelivery(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	f.server.Errors = errorRoute(t, `{"handler":"static_response","body":"{http.request.uri.query} {http.request.orig_uri.query}"}`)
	r := newDelivery(testBody)
	r.URL.RawQuery = "tenant=1"
	if a := f.serveThrough(t, r, false); a.Code != unhandled.status || a.Body.String() != "tenant=1 tenant=1" {
		t.Errorf("got %d %q", a.Code, a.Body)
	}
}

// TestAccessLogRepeatsNoHeaderOfTheAnswer checks that what an error page or an
// application repeats of a query in its headers does not get into the log.
func TestAccessLogRepeatsNoHeaderOfTheAnswer(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	f.server.Logs = new(caddyhttp.ServerLogConfig)
	f.serveTo(t, newDelivery(testBody), func(w http.ResponseWriter, _ *http.Request) error {
		for _, name := range []string{"Location", "Content-Location", "Refresh", "Link", "Set-Cookie", "X-Original"} {
			w.Header().Set(name, fmt.Sprintf("/login?next=/webhooks?hub.verify_token=%s#%[1]s", testToken))
		}
		w.Header().Set("Retry-After", "30")
		w.WriteHeader(http.StatusFound)
		return nil
	})
	f.expectNoLine(t, testToken)
	headers := f.logs.FilterMessage("handled request").All()[0].ContextMap()["resp_headers"].(map[string]any)
	if len(headers) != 1 || headers["Retry-After"] == nil {
		t.Errorf("the log has the headers %v", headers)
	}
}

// TestRedirectOfARefusalLeaksNoToken has an error route redirect a refused
// verification request to a page that gets where it came from.
func TestRedirectOfARefusalLeaksNoToken(t *testing.T) {
	t.Parallel()
	for name, r := range refusedWithSecrets() {
		f := newFixture(t)
		f.server.Logs = new(caddyhttp.ServerLogConfig)
		f.server.Errors = errorRoute(t, `{"handler":"static_response","status_code":302,"headers":{"Location":["/login?next={http.request.uri}"]}}`)
		a := f.serveThrough(t, r, false)
		if location := a.Header().Get("Location"); location != "/login?next=/webhooks" {
			t.Errorf("%s: redirected to %q", name, location)
		}
		f.expectNoLine(t, testToken)
	}
}
