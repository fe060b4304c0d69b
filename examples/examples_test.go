// Package examples_test loads every example as Caddy would.
package examples_test

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig"
	_ "github.com/caddyserver/caddy/v2/modules/standard"

	_ "github.com/caddy-instagram/webhooks"
	"github.com/caddy-instagram/webhooks/internal/testpki"
)

// TestExamplesProvision adapts and provisions each example.
func TestExamplesProvision(t *testing.T) {
	texts := exampleTexts(t)
	enterServer(t)
	for path, text := range texts {
		t.Run(filepath.Dir(path), func(t *testing.T) {
			for _, line := range provision(t, adapt(t, path, text)) {
				t.Errorf("loading it warns: %s", line)
			}
		})
	}
	leftNothing(t)
}

// read returns the texts of files, by path.
func read(t *testing.T, paths []string) map[string]string {
	t.Helper()
	texts := make(map[string]string)
	for _, path := range paths {
		text, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		texts[filepath.ToSlash(path)] = string(text)
	}
	return texts
}

// exampleTexts returns the examples by path.
func exampleTexts(t *testing.T) map[string]string {
	t.Helper()
	paths, err := filepath.Glob("*/Caddyfile")
	if err != nil || len(paths) < 7 {
		t.Fatalf("found only %v: %v", paths, err)
	}
	return read(t, paths)
}

// adapt returns the config of a Caddyfile, with directories of the server's below
// that of enterServer.
func adapt(t *testing.T, name, text string) []byte {
	t.Helper()
	config, warnings, err := caddyconfig.GetAdapter("caddyfile").Adapt([]byte(strings.TrimSpace(moved(t, text))+"\n"), map[string]any{"filename": name})
	if err != nil || len(warnings) > 0 {
		t.Errorf("%s: %v %v\n%s", name, err, warnings, text)
	}
	return config
}

func moved(t *testing.T, text string) string {
	t.Helper()
	here, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	return regexp.MustCompile(`([ "])/(var|etc)/`).ReplaceAllString(text, "${1}"+filepath.ToSlash(here)+"/$2/")
}

// enterServer changes into a directory, and an environment, with all that the
// examples need. Tests that call it cannot be parallel.
func enterServer(t *testing.T) {
	t.Helper()
	t.Chdir(t.TempDir())
	t.Setenv("XDG_DATA_HOME", t.TempDir())
	t.Setenv("IG_VERIFY_TOKEN", "token")
	t.Setenv("IG_APP_SECRET", "0123456789abcdef0123456789abcdef")
	t.Setenv("IG_TOKEN_KEY", "c2VjcmV0IGtleSBvZiAzMiByYW5kb20gYnl0ZXM=")
	t.Setenv("META_APP_SECRET", "fedcba9876543210fedcba9876543210")
	t.Setenv("SLACK_URL", "https://hooks.slack.com/services/T000/B000/x")
	t.Setenv("IG_QUEUE_DSN", "postgres://ig:secret@db1,db2/ig")
	if err := os.MkdirAll("etc/caddy", 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile("etc/caddy/meta-outbound-api-ca-2025-12.pem", testpki.PEM(testpki.NewCA(t, "Example CA")), 0o600); err != nil {
		t.Fatal(err)
	}
}

// leftNothing checks that there is no file but those of enterServer.
func leftNothing(t *testing.T) {
	t.Helper()
	for _, dir := range []string{".", os.Getenv("XDG_DATA_HOME")} {
		err := filepath.WalkDir(dir, func(path string, entry fs.DirEntry, err error) error {
			if err == nil && !entry.IsDir() && filepath.Ext(path) != ".pem" {
				t.Errorf("provisioning left the file %s", path)
			}
			return err
		})
		if err != nil {
			t.Error(err)
		}
	}
}

// provision does what `caddy validate` does with a config, and returns the lines
// that this logs at warn and above.
func provision(t *testing.T, config []byte) (lines []string) {
	t.Helper()
	var cfg caddy.Config
	if err := caddy.StrictUnmarshalJSON(config, &cfg); err != nil {
		t.Errorf("%v\n%s", err, config)
		return nil
	}
	log := filepath.Join(t.TempDir(), "log")
	cfg.Logging = &caddy.Logging{Logs: map[string]*caddy.CustomLog{caddy.DefaultLoggerName: {BaseLog: caddy.BaseLog{
		WriterRaw:  caddyconfig.JSON(map[string]string{"output": "file", "filename": log}, nil),
		EncoderRaw: []byte(`{"format":"json"}`),
		Level:      "WARN",
	}}}}
	if err := caddy.Validate(&cfg); err != nil {
		t.Errorf("%v\n%s", err, config)
	}
	text, err := os.ReadFile(log)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		t.Error(err)
	}
	for line := range strings.Lines(string(text)) {
		// That HTTPS cannot be had at an address without a name is for Caddy to say.
		if strings.Contains(line, "instagram") {
			lines = append(lines, line)
		}
	}
	return lines
}
