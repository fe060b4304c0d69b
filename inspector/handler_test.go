package inspector

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"

	"github.com/caddy-instagram/webhooks/internal/meta"
)

// site is a handler over an admin API that answers what it is asked.
type site struct {
	*Handler
	logs *observer.ObservedLogs
}

func newSite(t *testing.T, h *Handler) *site {
	t.Helper()
	ctx, cancel := caddy.NewContext(caddy.Context{Context: context.Background()})
	t.Cleanup(cancel)
	if err := h.Provision(ctx); err != nil {
		t.Fatal(err)
	}
	if err := h.Validate(); err != nil {
		t.Fatal(err)
	}
	core, logs := observer.New(zap.DebugLevel)
	h.server = NewServer(http.HandlerFunc(echo), h.Allow, zap.New(core))
	return &site{h, logs}
}

// echo answers with what it was asked for.
func echo(w http.ResponseWriter, r *http.Request) {
	if r.URL.Path == "/instagram/queue/retry" || r.URL.Path == "/instagram/queue/discard" {
		_, _ = w.Write([]byte(`{"count":17,"before":18446744073709551615}`))
		return
	}
	_, _ = w.Write([]byte(`{"asked":"` + r.Method + " " + r.URL.RequestURI() + `","last":"` + r.Header.Get("Last-Event-ID") + `","cookie":"` + r.Header.Get("Cookie") + `"}`))
}

// serve serves a request as Caddy's server does. Prepare changes the request.
func (s *site) serve(t *testing.T, method, target string, prepare ...func(*http.Request)) *httptest.ResponseRecorder {
	t.Helper()
	w := httptest.NewRecorder()
	r := caddyhttp.PrepareRequest(httptest.NewRequest(method, target, nil), caddy.NewReplacer(), w, new(caddyhttp.Server))
	for _, p := range prepare {
		p(r)
	}
	if err := s.ServeHTTP(w, r, nil); err != nil {
		t.Errorf("%s %s: %v", method, target, err)
	}
	for name, value := range headers {
		if w.Header().Get(name) != value {
			t.Errorf("%s %s: the header %s is %q", method, target, name, w.Header().Get(name))
		}
	}
	return w
}

// loggedIn is what an authentication does for a user.
func loggedIn(user string) func(*http.Request) {
	return func(r *http.Request) {
		r.Context().Value(caddy.ReplacerCtxKey).(*caddy.Replacer).Set("http.auth.user.id", user)
	}
}

func withHeader(name string, values ...string) func(*http.Request) {
	return func(r *http.Request) { r.Header[name] = values }
}

func fromProxy(r *http.Request) { caddyhttp.SetVar(r.Context(), caddyhttp.TrustedProxyVarKey, true) }

// withCert is a TLS connection with a client certificate.
func withCert(verified bool, name string, names ...string) func(*http.Request) {
	return func(r *http.Request) {
		cert := &x509.Certificate{Subject: pkix.Name{CommonName: name}, DNSNames: names}
		r.TLS = &tls.ConnectionState{HandshakeComplete: true, PeerCertificates: []*x509.Certificate{cert}}
		if verified {
			r.TLS.VerifiedChains = [][]*x509.Certificate{{cert}}
		}
	}
}

func early(r *http.Request) { r.TLS.HandshakeComplete = false }

// TestAttackers has all kinds of requests that are nobody's.
func TestAttackers(t *testing.T) {
	t.Parallel()
	type prepare = func(*http.Request)
	plain, proxied := newSite(t, new(Handler)), newSite(t, &Handler{TrustHeader: "remote-user", Allow: []string{retry, discard, pause}})
	for name, c := range map[string]struct {
		site    *site
		prepare []prepare
		user    string // empty: nobody
	}{
		"nobody":                          {plain, nil, ""},
		"credentials nobody checked":      {plain, []prepare{withHeader("Authorization", "Basic YWxpY2U6c2VjcmV0")}, ""},
		"a header of ours":                {plain, []prepare{withHeader("Http.auth.user.id", "alice"), withHeader("X-Instagram-User", "alice")}, ""},
		"an empty user":                   {plain, []prepare{loggedIn("")}, ""},
		"a header that is not named":      {plain, []prepare{fromProxy, withHeader("Remote-User", "alice")}, ""},
		"the header from elsewhere":       {proxied, []prepare{withHeader("Remote-User", "alice")}, ""},
		"the header, empty":               {proxied, []prepare{fromProxy, withHeader("Remote-User", "")}, ""},
		"the header twice":                {proxied, []prepare{fromProxy, withHeader("Remote-User", "alice", "mallory")}, ""},
		"another header":                  {proxied, []prepare{fromProxy, withHeader("X-Remote-User", "alice")}, ""},
		"the proxy, with nobody":          {proxied, []prepare{fromProxy}, ""},
		"no certificate":                  {plain, []prepare{func(r *http.Request) { r.TLS = &tls.ConnectionState{HandshakeComplete: true} }}, ""},
		"a certificate nobody verified":   {plain, []prepare{withCert(false, "alice")}, ""},
		"a certificate in early data":     {plain, []prepare{withCert(true, "alice"), early}, ""},
		"Meta's certificate":              {plain, []prepare{withCert(true, meta.ClientCommonName)}, ""},
		"Meta's certificate by its names": {plain, []prepare{withCert(true, "x", meta.ClientCommonName)}, ""},

		"a user":                      {plain, []prepare{loggedIn("alice")}, "alice"},
		"a user with a certificate":   {plain, []prepare{loggedIn("alice"), withCert(true, "bob")}, "alice"},
		"a certificate":               {plain, []prepare{withCert(true, "bob")}, "bob"},
		"a certificate without name":  {plain, []prepare{withCert(true, "")}, "a client certificate"},
		"the header, from the proxy":  {proxied, []prepare{fromProxy, withHeader("Remote-User", "carol")}, "carol"},
		"a user, and a forged header": {proxied, []prepare{loggedIn("alice"), withHeader("Remote-User", "mallory")}, "alice"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if c.user != "" {
				w := c.site.serve(t, "GET", "/api/overview", c.prepare...)
				if w.Code != 200 || !strings.Contains(w.Body.String(), `"user":"`+c.user+`"`) {
					t.Errorf("%d %s, want the user %s", w.Code, w.Body, c.user)
				}
				return
			}
			for _, target := range []string{
				"GET /", "GET /index.html", "GET /app.js", "HEAD /", "GET /api/overview", "GET /api/live", "GET /api/events", "GET /api/events/1",
				"GET /inspector/api/overview", "POST /api/events/1/reveal", "POST /api/events/1/retry", "POST /api/discard?state=dead",
				"POST /api/pause?consumer=crm", "DELETE /api/events/1", "OPTIONS /api/events", "GET /api/", "GET //api/events", "GET /%61pi/events",
			} {
				method, path, _ := strings.Cut(target, " ")
				w := c.site.serve(t, method, path, c.prepare...)
				if w.Code != http.StatusForbidden || !strings.Contains(w.Body.String(), "basic_auth") || strings.Contains(w.Body.String(), "asked") {
					t.Errorf("%s: %d %s, want 403 in words", target, w.Code, w.Body)
				}
			}
		})
	}
}

func TestValidate(t *testing.T) {
	t.Parallel()
	if err := (&Handler{Allow: []string{retry, "everything"}}).Validate(); err == nil || !strings.Contains(err.Error(), "everything") {
		t.Errorf("the error is %v", err)
	}
}
