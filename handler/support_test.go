package handler

import (
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"

	"github.com/caddy-instagram/webhooks/event"
	"github.com/caddy-instagram/webhooks/internal/live"
	"github.com/caddy-instagram/webhooks/internal/meta"
)

const (
	testToken  = "t0k3n-of-the-tests"
	testSecret = "0123456789abcdef0123456789abcdef"
	testBody   = `{"object":"instagram","entry":[{"id":"17841400000000001","time":1767225600,"changes":[]}]}`
)

// fixture is a provisioned handler with metrics and logs of its own.
type fixture struct {
	*Handler
	logs   *observer.ObservedLogs
	server *caddyhttp.Server
}

func newFixture(t testing.TB, adjust ...func(*Handler)) *fixture {
	t.Helper()
	h := &Handler{
		VerifyTokens: []string{testToken},
		AppSecrets:   []AppSecret{{Name: "instagram", Secret: testSecret}},
	}
	for _, a := range adjust {
		a(h)
	}
	ctx, cancel := caddy.NewContext(caddy.Context{Context: context.Background()})
	t.Cleanup(cancel)
	if err := h.Provision(ctx); err != nil {
		t.Fatalf("provisioning: %v", err)
	}
	if err := h.Validate(); err != nil {
		t.Fatalf("validating: %v", err)
	}
	core, logs := observer.New(zap.DebugLevel)
	logger := zap.New(core)
	h.countWith(newMetrics())
	h.publishTo(live.New())
	h.logTo(logger, logger.Named("http"))
	return &fixture{Handler: h, logs: logs, server: new(caddyhttp.Server)}
}

// answer is what a client and the next handler saw of a request.
type answer struct {
	*httptest.ResponseRecorder
	passed   bool
	request  *http.Request
	body     []byte          // as the next handler read it
	signed   []byte          // as the delivery held it
	delivery *event.Delivery // nil when nothing was passed on
}

// serve sends r through the handler as Caddy's server would.
func (f *fixture) serve(t testing.TB, r *http.Request) *answer {
	t.Helper()
	return f.serveTo(t, r, func(w http.ResponseWriter, _ *http.Request) error {
		w.WriteHeader(http.StatusOK)
		return nil
	})
}

// serveTo is serve with the given handler behind it.
func (f *fixture) serveTo(t testing.TB, r *http.Request, then caddyhttp.HandlerFunc) *answer {
	t.Helper()
	a := &answer{ResponseRecorder: httptest.NewRecorder()}
	next := caddyhttp.HandlerFunc(func(w http.ResponseWriter, r *http.Request) error {
		a.passed, a.request = true, r
		a.delivery = event.FromContext(r.Context())
		a.signed = bytes.Clone(a.delivery.Body)
		var err error
		if a.body, err = io.ReadAll(r.Body); err != nil {
			t.Errorf("the next handler reads the body: %v", err)
		}
		return then(w, r)
	})
	r = caddyhttp.PrepareRequest(r, caddy.NewReplacer(), a, f.server)
	if err := f.ServeHTTP(a, r, next); err != nil {
		t.Errorf("an error left the handler: %v", err)
	}
	return a
}

// sign returns the value of X-Hub-Signature-256 for body.
func sign(secret, body string) string {
	mac := hmac.New(sha256.New, []byte(secret))
	io.WriteString(mac, body)
	return "sha256=" + hex.EncodeToString(mac.Sum(nil))
}

// newDelivery returns a signed delivery as Meta sends it.
func newDelivery(body string) *http.Request {
	r := httptest.NewRequest(http.MethodPost, "https://hooks.example.com/webhooks", strings.NewReader(body))
	r.Header.Set("Content-Type", "application/json")
	r.Header.Set("User-Agent", "Webhooks/1.0 (https://fb.me/webhooks)")
	r.Header.Set(meta.HeaderSignature, sign(testSecret, body))
	return r
}

// newVerification returns a verification request with the given query.
func newVerification(query string) *http.Request {
	return httptest.NewRequest(http.MethodGet, "https://hooks.example.com/webhooks?"+query, nil)
}
