package misplaced

import (
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"
)

// TestVerifyTokenStaysOutOfTheLogs: a verification request that comes to the wrong
// place must not be logged with its query.
func TestVerifyTokenStaysOutOfTheLogs(t *testing.T) {
	t.Parallel()
	core, logs := observer.New(zap.DebugLevel)
	var a Answerer
	for range 3 {
		w := httptest.NewRecorder()
		r := httptest.NewRequest(http.MethodGet, "/webhooks?hub.mode=subscribe&hub.verify_token=Xq7Zw", nil)
		r = caddyhttp.PrepareRequest(r, caddy.NewReplacer(), w, new(caddyhttp.Server))
		a.Answer(w, r, zap.New(core), "instagram_file")
		if w.Code != http.StatusInternalServerError {
			t.Errorf("answered with %d", w.Code)
		}
		if skip, _ := caddyhttp.GetVar(r.Context(), caddyhttp.LogSkipVar).(bool); !skip {
			t.Error("Caddy logs the URI")
		}
	}
	// A slow machine may need more than a second for three.
	if logs.Len() < 1 || logs.Len() > 3 {
		t.Fatalf("%d lines", logs.Len())
	}
	fields := logs.All()[0].ContextMap()
	if fields["path"] != "/webhooks" || fields["method"] != "GET" || !strings.Contains(logs.All()[0].Message, "instagram_webhook must come before") {
		t.Errorf("%s %v", logs.All()[0].Message, fields)
	}
	for _, value := range fields {
		if text, ok := value.(string); ok && strings.Contains(text, "Xq7Zw") {
			t.Errorf("the token is in %q", text)
		}
	}
}

func TestAnswerOutsideOfAServer(t *testing.T) {
	t.Parallel()
	var a Answerer
	w := httptest.NewRecorder()
	a.Answer(w, httptest.NewRequest(http.MethodPost, "/"+strings.Repeat("a", 1000), nil), zap.NewNop(), "instagram_queue")
	if w.Code != http.StatusInternalServerError {
		t.Errorf("answered with %d", w.Code)
	}
}

// TestErrorRouteOfARefusalIsNotMisplaced: a file of what failed gets what was
// refused, too, and its status must stay.
func TestErrorRouteOfARefusalIsNotMisplaced(t *testing.T) {
	t.Parallel()
	core, logs := observer.New(zap.DebugLevel)
	for want, err := range map[int]error{
		http.StatusUnauthorized:        caddyhttp.Error(http.StatusUnauthorized, errors.New("forged")),
		http.StatusInternalServerError: errors.New("no status"),
	} {
		var a Answerer
		w := httptest.NewRecorder()
		r := caddyhttp.PrepareRequest(httptest.NewRequest(http.MethodPost, "/", nil), caddy.NewReplacer(), w, new(caddyhttp.Server))
		a.Answer(w, new(caddyhttp.HTTPErrorConfig).WithError(r, err), zap.New(core), "instagram_file")
		if w.Code != want {
			t.Errorf("%v: answered with %d, want %d", err, w.Code, want)
		}
	}
	if logs.Len() > 0 {
		t.Errorf("logged %v", logs.All())
	}
}
