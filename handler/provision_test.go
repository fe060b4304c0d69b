package handler

import (
	"bytes"
	"context"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/caddyserver/caddy/v2"
	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"

	"github.com/caddy-instagram/webhooks/internal/meta"
)

func TestProvisionErrors(t *testing.T) {
	dir := t.TempDir()
	write := func(name, content string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		return "{file." + path + "}"
	}
	t.Setenv("HANDLER_TEST_EMPTY", "")
	t.Setenv("HANDLER_TEST_SPACE", "secret ")
	token, secret := []string{testToken}, []AppSecret{{Secret: testSecret}}
	for _, tc := range []struct {
		name    string
		handler Handler
		want    string
	}{
		{"no token", Handler{AppSecrets: secret}, "at least one verify_token"},
		{"no secret", Handler{VerifyTokens: token}, "at least one app_secret"},
		{"empty token", Handler{VerifyTokens: []string{""}, AppSecrets: secret}, "verify_token 1: it is empty"},
		{"second token empty", Handler{VerifyTokens: []string{"a", ""}, AppSecrets: secret}, "verify_token 2: it is empty"},
		{"unset token", Handler{VerifyTokens: []string{"{env.HANDLER_TEST_UNSET}"}, AppSecrets: secret}, "{env.HANDLER_TEST_UNSET} is empty: the environment variable is not set"},
		{"token set to nothing", Handler{VerifyTokens: []string{"{env.HANDLER_TEST_EMPTY}"}, AppSecrets: secret}, "{env.HANDLER_TEST_EMPTY} is empty: the environment variable is set to nothing"},
		{"unknown placeholder", Handler{VerifyTokens: []string{"half-a-secret{nonesuch}"}, AppSecrets: secret}, "verify_token 1: a placeholder in it is unknown"},
		{"empty file", Handler{VerifyTokens: []string{write("empty", "\n")}, AppSecrets: secret}, filepath.Join(dir, "empty") + "} is empty: there is nothing but a line break in the file"},
		{"file of no bytes", Handler{VerifyTokens: []string{write("none", "")}, AppSecrets: secret}, filepath.Join(dir, "none") + "} is empty: there is nothing in the file"},
		{"directory", Handler{VerifyTokens: []string{"{file." + dir + "}"}, AppSecrets: secret}, dir + "} cannot be read: it is a directory"},
		{"missing file", Handler{VerifyTokens: []string{"{file." + filepath.Join(dir, "nonesuch") + "}"}, AppSecrets: secret}, filepath.Join(dir, "nonesuch") + "} cannot be read: "},
		{"missing file, relative", Handler{VerifyTokens: token, AppSecrets: []AppSecret{{Secret: "{file.nonesuch}"}}}, "(in the directory " + here(t) + ")"},
		{"white space", Handler{VerifyTokens: token, AppSecrets: []AppSecret{{Name: "x", Secret: "{env.HANDLER_TEST_SPACE}"}}}, `app_secret "x": it begins or ends with white space`},
		{"two line feeds", Handler{VerifyTokens: []string{write("two", "token\n\n")}, AppSecrets: secret}, "white space"},
		{"empty secret", Handler{VerifyTokens: token, AppSecrets: []AppSecret{{}}}, `app_secret "secret1": it is empty`},
		{"unset secret", Handler{VerifyTokens: token, AppSecrets: []AppSecret{{Name: "meta", Secret: "{env.HANDLER_TEST_UNSET}"}}}, `app_secret "meta"`},
		{"same name", Handler{VerifyTokens: token, AppSecrets: []AppSecret{{Name: "a", Secret: testSecret}, {Name: "a", Secret: testSecret}}}, `two app secrets have the name "a"`},
		{"name of another's default", Handler{VerifyTokens: token, AppSecrets: []AppSecret{{Name: "secret2", Secret: testSecret}, {Secret: testSecret}}}, `two app secrets have the name "secret2"`},
		{"name with space", Handler{VerifyTokens: token, AppSecrets: []AppSecret{{Name: "a b", Secret: "1"}}}, "the name of an app_secret must be"},
		{"long name", Handler{VerifyTokens: token, AppSecrets: []AppSecret{{Name: strings.Repeat("a", 65), Secret: "1"}}}, "the name of an app_secret must be"},
		{"secret as name", Handler{VerifyTokens: token, AppSecrets: []AppSecret{{Name: testSecret, Secret: "instagram"}}}, "looks like a secret"},
		{"name in its place", Handler{VerifyTokens: token, AppSecrets: []AppSecret{{Secret: "half-a-secret"}}}, `app_secret "secret1": it is no app secret, as it has less than 16 characters`},
		{"masked", Handler{VerifyTokens: token, AppSecrets: []AppSecret{{Secret: strings.Repeat("•", 15)}}}, "less than 16 characters"},
		{"negative size", Handler{VerifyTokens: token, AppSecrets: secret, MaxSize: -1}, "max_size must not be negative"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			ctx, cancel := caddy.NewContext(caddy.Context{Context: context.Background()})
			defer cancel()
			err := tc.handler.Provision(ctx)
			if err == nil {
				err = tc.handler.Validate()
			}
			if err == nil || !strings.Contains(err.Error(), tc.want) {
				t.Fatalf("got %v, want an error with %q", err, tc.want)
			}
			if strings.Contains(err.Error(), "half-a-secret") {
				t.Errorf("the error repeats the value: %v", err)
			}
			if err := tc.handler.Cleanup(); err != nil {
				t.Errorf("cleaning up after a failure: %v", err)
			}
		})
	}
}

func here(t *testing.T) string {
	t.Helper()
	dir, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	return dir
}

func TestProvisionResolvesPlaceholdersOnce(t *testing.T) {
	path := filepath.Join(t.TempDir(), "secret")
	if err := os.WriteFile(path, []byte("a secret from a file\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	t.Setenv("HANDLER_TEST_TOKEN", "from {env.HOME}")
	f := newFixture(t, func(h *Handler) {
		h.VerifyTokens = []string{"{env.HANDLER_TEST_TOKEN}"}
		h.AppSecrets = []AppSecret{{Secret: "{file." + path + "}"}}
	})
	t.Setenv("HANDLER_TEST_TOKEN", "changed")
	// What a placeholder resolved to is not resolved again.
	if a := f.serve(t, newVerification("hub.mode=subscribe&hub.challenge=1&hub.verify_token=from+%7Benv.HOME%7D")); a.Code != 200 {
		t.Errorf("verification: got %d", a.Code)
	}
	r := newDelivery(testBody)
	r.Header.Set(meta.HeaderSignature, sign("a secret from a file", testBody))
	if a := f.serve(t, r); a.Code != 200 {
		t.Errorf("delivery: got %d", a.Code)
	}
	config, err := json.Marshal(f.Handler)
	if err != nil {
		t.Fatal(err)
	}
	for _, resolved := range []string{"a secret from a file", "from {env"} {
		if bytes.Contains(config, []byte(resolved)) {
			t.Errorf("the config holds what a placeholder resolved to: %s", config)
		}
	}
}

func TestMetricsAreRegisteredTwice(t *testing.T) {
	t.Parallel()
	registry := prometheus.NewRegistry()
	for range 2 {
		if err := shared.register(registry); err != nil {
			t.Fatal(err)
		}
	}
}

func TestTraceHoldsNoSecret(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	entry, err := zapcore.NewJSONEncoder(zapcore.EncoderConfig{}).EncodeEntry(zapcore.Entry{}, []zapcore.Field{zap.Any("module", f.Handler)})
	if err != nil {
		t.Fatal(err)
	}
	if s := entry.String(); strings.Contains(s, testToken) || strings.Contains(s, testSecret) || !strings.Contains(s, `"app_secrets":["instagram"]`) {
		t.Errorf("got %s", s)
	}
}
