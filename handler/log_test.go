package handler

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"net/http/httptest"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
	"go.uber.org/zap/zapcore"

	"github.com/caddy-instagram/webhooks/internal/meta"
)

// names returns the names and levels of the loggers that a message went to.
func (f *fixture) names(message string) (names []string) {
	for _, entry := range f.logs.FilterMessage(message).All() {
		names = append(names, entry.LoggerName+" "+entry.Level.String())
	}
	slices.Sort(names)
	return names
}

func TestAccessLogNames(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		name string
		logs *caddyhttp.ServerLogConfig
		host string
		want []string
	}{
		{"off", nil, "hooks.example.com", nil},
		{"default", &caddyhttp.ServerLogConfig{}, "hooks.example.com", []string{"http.log.access info"}},
		{"default name", &caddyhttp.ServerLogConfig{DefaultLoggerName: "web"}, "hooks.example.com", []string{"http.log.access.web info"}},
		{"by host", &caddyhttp.ServerLogConfig{LoggerNames: map[string]caddyhttp.StringArray{"hooks.example.com": {"a", "b"}}}, "HOOKS.example.com:443", []string{"http.log.access.a info", "http.log.access.b info"}},
		{"by wildcard", &caddyhttp.ServerLogConfig{LoggerNames: map[string]caddyhttp.StringArray{"*.example.com": {"wild"}}}, "hooks.example.com", []string{"http.log.access.wild info"}},
		{"skipped host", &caddyhttp.ServerLogConfig{SkipHosts: []string{"hooks.example.com"}}, "hooks.example.com", nil},
		{"unmapped host", &caddyhttp.ServerLogConfig{SkipUnmappedHosts: true}, "hooks.example.com", nil},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			f := newFixture(t)
			f.server.Logs = tc.logs
			r := newDelivery(testBody)
			r.Host = tc.host
			f.serve(t, r)
			if got := f.names("handled request"); !slices.Equal(got, tc.want) {
				t.Errorf("got %v, want %v", got, tc.want)
			}
		})
	}
}

func TestAccessLogVariables(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		name, variable string
		value          any
		want           []string
	}{
		{"level", caddyhttp.LogLevelVar, "WARN", []string{"http.log.access warn"}},
		{"bad level", caddyhttp.LogLevelVar, "FATAL", []string{"http.log.access info"}},
		{"names", caddyhttp.AccessLoggerNameVarKey, []any{"", "x"}, []string{"http.log.access info", "http.log.access.x info"}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			f := newFixture(t)
			f.server.Logs = new(caddyhttp.ServerLogConfig)
			f.serveTo(t, newDelivery(testBody), func(w http.ResponseWriter, r *http.Request) error {
				caddyhttp.SetVar(r.Context(), tc.variable, tc.value)
				w.WriteHeader(http.StatusOK)
				return nil
			})
			if got := f.names("handled request"); !slices.Equal(got, tc.want) {
				t.Errorf("got %v, want %v", got, tc.want)
			}
		})
	}
}

// errorRoute returns a config with one error route, which has one handler.
func errorRoute(t *testing.T, handler string) *caddyhttp.HTTPErrorConfig {
	t.Helper()
	ctx, cancel := caddy.NewContext(caddy.Context{Context: context.Background()})
	t.Cleanup(cancel)
	routes := caddyhttp.RouteList{{HandlersRaw: []json.RawMessage{json.RawMessage(handler)}}}
	if err := routes.Provision(ctx); err != nil {
		t.Fatal(err)
	}
	return &caddyhttp.HTTPErrorConfig{Routes: routes}
}

func TestErrorLog(t *testing.T) {
	t.Parallel()
	routed := errorRoute(t, `{"handler":"static_response","status_code":503,"body":"routed {http.error.message} at {http.request.uri.path}"}`)
	for _, tc := range []struct {
		name   string
		err    error
		routes *caddyhttp.HTTPErrorConfig
		code   int
		body   string
		want   []string
	}{
		{"refusal", caddyhttp.Error(http.StatusForbidden, errors.New("no")), nil, 403, "", []string{"http.log.error debug"}},
		{"failure", caddyhttp.Error(http.StatusBadGateway, errors.New("no")), nil, 502, "", []string{"http.log.error error"}},
		{"plain error", errors.New("no"), nil, 500, "", []string{"http.log.error error"}},
		{"routed", caddyhttp.Error(http.StatusBadGateway, errors.New("no")), routed, 503, "routed no at /webhooks", []string{"http.log.error debug"}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			f := newFixture(t)
			f.server.Errors = tc.routes
			a := f.serveTo(t, newDelivery(testBody), func(_ http.ResponseWriter, r *http.Request) error {
				// Error routes see the original request.
				r.URL.Path, r.RequestURI = "/rewritten", "/rewritten"
				return tc.err
			})
			if a.Code != tc.code || a.Body.String() != tc.body {
				t.Errorf("got %d %q, want %d %q", a.Code, a.Body, tc.code, tc.body)
			}
			if got := f.names("no"); !slices.Equal(got, tc.want) {
				t.Errorf("got %v, want %v", got, tc.want)
			}
		})
	}
}

// TestErrorRoutesSeeNoForgery checks that what was refused reaches an error route
// without its body and without headers that imitate ours.
func TestErrorRoutesSeeNoForgery(t *testing.T) {
	t.Parallel()
	routed := errorRoute(t, `{"handler":"static_response","body":"[{http.request.body}] [{http.request.header.X-Instagram-Secret}] [{http.request.header.Content-Length}]"}`)
	for name, signature := range map[string]string{"not signed": "", "wrongly signed": sign("x", testBody)} {
		f := newFixture(t)
		f.server.Errors = routed
		r := newDelivery(testBody)
		r.Header.Set("X-Instagram-Secret", "instagram")
		r.Header.Set("Content-Length", strconv.Itoa(len(testBody)))
		r.Header.Set(meta.HeaderSignature, signature)
		if a := f.serve(t, r); a.Body.String() != "[] [] []" {
			t.Errorf("%s: the error route sees %q", name, a.Body)
		}
	}
}

// TestCaddyLogsNothing holds on to the variable that keeps Caddy's own
// line, which has the secrets in it, out of the log.
func TestCaddyLogsNothing(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	for name, r := range map[string]*http.Request{
		"delivery":             newDelivery(testBody),
		"verification":         newVerification("hub.mode=subscribe&hub.challenge=1&hub.verify_token=" + testToken),
		"refused verification": newVerification("hub.verify_token=" + testToken),
	} {
		vars := make(map[string]any)
		r = r.WithContext(context.WithValue(r.Context(), caddyhttp.VarsCtxKey, vars))
		if err := f.ServeHTTP(httptest.NewRecorder(), r, caddyhttp.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) error { return nil })); name == "verification" && err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if vars[caddyhttp.LogSkipVar] != true {
			t.Errorf("%s: %s is %v", name, caddyhttp.LogSkipVar, vars[caddyhttp.LogSkipVar])
		}
	}
}

func TestLogsHoldNoSecret(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	f.server.Logs = new(caddyhttp.ServerLogConfig)
	f.serve(t, newDelivery(testBody))
	wrong := newDelivery(testBody)
	wrong.Header.Set(meta.HeaderSignature, sign("x", testBody))
	f.serve(t, wrong)
	for _, query := range []string{
		"hub.mode=subscribe&hub.challenge=1&hub.verify_token=" + testToken,
		"hub.mode=other&hub.challenge=1&hub.verify_token=" + testToken,
		"hub%2Everify_token=" + testToken, "hub.verify_token=" + testToken + "&%", testToken, "=" + testToken,
		"HUB.VERIFY_TOKEN=" + testToken, "a;hub.verify_token=" + testToken,
		"hub.mode=" + testToken, testToken + "=1&hub.challenge=" + testToken,
	} {
		f.serve(t, newVerification(query))
		r := newVerification(query)
		r.Method = http.MethodHead
		f.serve(t, r)
	}
	if n := len(f.logs.FilterMessage("handled request").All()); n != 22 {
		t.Errorf("got %d access log lines, want 22", n)
	}
	encoder := zapcore.NewJSONEncoder(zapcore.EncoderConfig{MessageKey: "msg"})
	for _, entry := range f.logs.All() {
		buf, err := encoder.EncodeEntry(entry.Entry, entry.Context)
		if err != nil {
			t.Fatal(err)
		}
		for _, secret := range []string{testToken, testSecret, sign(testSecret, testBody)[7:], sign("x", testBody)[7:]} {
			if strings.Contains(buf.String(), secret) {
				t.Errorf("a secret is in the log: %s", buf)
			}
		}
	}
}
