package handler

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/caddyserver/caddy/v2"
	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"

	"github.com/caddy-instagram/webhooks/internal/app"
)

// doubted returns the warnings about tokens and secrets in handlers of one config.
func doubted(t *testing.T, handlers ...*Handler) (lines []string) {
	t.Helper()
	core, logs := observer.New(zap.DebugLevel)
	config := new(app.App)
	for _, h := range handlers {
		w := secretWarnings{logger: zap.New(core), config: config}
		if _, err := provisionTokens(h.VerifyTokens, &w); err != nil {
			t.Fatal(err)
		}
		if _, err := provisionSecrets(h.AppSecrets, &w); err != nil {
			t.Fatal(err)
		}
	}
	for _, e := range logs.All() {
		if e.Level != zap.WarnLevel {
			t.Errorf("level %s", e.Level)
		}
		text := e.Message
		for _, f := range e.Context {
			text += " " + f.Key + "=" + f.String
		}
		lines = append(lines, text)
	}
	return lines
}

// TestImplausibleSecretIsToldAtLoad keeps it from being told only by the 401 of
// each delivery. What is loaded must be loaded nevertheless.
func TestImplausibleSecretIsToldAtLoad(t *testing.T) {
	dir := t.TempDir()
	write := func(name, content string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		return "{file." + path + "}"
	}
	t.Setenv("WARNINGS_TEST_QUOTES", `"`+testSecret+`"`)
	for name, tc := range map[string]struct {
		secret string
		want   []string
	}{
		"right":            {testSecret, nil},
		"right, in a file": {write("right", testSecret+"\n"), nil},
		"quotes":           {"{env.WARNINGS_TEST_QUOTES}", []string{"quotes", `which=app_secret "meta"`, "from={env.WARNINGS_TEST_QUOTES}"}},
		"byte order mark":  {write("bom", "\uFEFF"+testSecret+"\r\n"), []string{"byte order mark", "from={file." + dir}},
		"UTF-16":           {write("wide", "\xFF\xFE"+strings.Join(strings.Split(testSecret, ""), "\x00")+"\x00\r\x00\n\x00"), []string{"UTF-16"}},
		"literal":          {"Xq7Zw-of-a-service", []string{"other characters"}},
	} {
		t.Run(name, func(t *testing.T) {
			h := &Handler{VerifyTokens: []string{testToken}, AppSecrets: []AppSecret{{Name: "meta", Secret: tc.secret}}}
			lines := doubted(t, h, h)
			if len(tc.want) == 0 && len(lines) > 0 || len(tc.want) > 0 && len(lines) != 1 {
				t.Fatalf("got %q", lines)
			}
			for _, want := range tc.want {
				if !strings.Contains(lines[0], want) {
					t.Errorf("%q lacks %q", lines[0], want)
				}
			}
			for _, line := range lines {
				if strings.Contains(line, testSecret) || strings.Contains(line, "Xq7Zw") {
					t.Errorf("the line repeats the secret: %s", line)
				}
			}
			ctx, cancel := caddy.NewContext(caddy.Context{Context: context.Background()})
			defer cancel()
			if err := h.Provision(ctx); err != nil {
				t.Errorf("the config is not loaded: %v", err)
			}
		})
	}
}

func TestChangedVerifyTokenIsToldAtLoad(t *testing.T) {
	t.Parallel()
	secrets := []AppSecret{{Name: "meta", Secret: testSecret}}
	lines := doubted(t, &Handler{VerifyTokens: []string{testToken, `"a token"`}, AppSecrets: secrets})
	if len(lines) != 1 || !strings.Contains(lines[0], "which=verify_token 2") || !strings.Contains(lines[0], "quotes") {
		t.Errorf("got %q", lines)
	}
}

// TestSameValueTwiceIsToldAtLoad: a copy of the wrong secret leaves the deliveries
// of one login refused, and a verify token stands in URLs.
func TestSameValueTwiceIsToldAtLoad(t *testing.T) {
	t.Parallel()
	lines := doubted(t, &Handler{
		VerifyTokens: []string{testSecret},
		AppSecrets:   []AppSecret{{Name: "instagram", Secret: testSecret}},
	})
	if len(lines) != 1 || !strings.Contains(lines[0], "it is the same as verify_token 1") {
		t.Errorf("got %q", lines)
	}
	lines = doubted(t, &Handler{
		VerifyTokens: []string{testToken},
		AppSecrets:   []AppSecret{{Name: "instagram", Secret: testSecret}, {Name: "meta", Secret: testSecret}},
	})
	if len(lines) != 1 || !strings.Contains(lines[0], `which=app_secret "meta"`) || !strings.Contains(lines[0], `the same as app_secret "instagram"`) {
		t.Errorf("got %q", lines)
	}
}
