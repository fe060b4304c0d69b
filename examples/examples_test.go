// Package examples_test loads every example as Caddy would.
package examples_test

import (
	"bytes"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
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
	paths, err := filepath.Glob("*/Caddyfile")
	if err != nil || len(paths) < 7 {
		t.Fatalf("found only %v: %v", paths, err)
	}
	texts := make(map[string][]byte)
	for _, path := range paths {
		if texts[path], err = os.ReadFile(path); err != nil {
			t.Fatal(err)
		}
	}
	enterServer(t)
	here, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	for path, text := range texts {
		text = bytes.ReplaceAll(text, []byte(" /var/"), []byte(" "+filepath.ToSlash(here)+"/var/"))
		t.Run(filepath.Dir(path), func(t *testing.T) {
			config, warnings, err := caddyconfig.GetAdapter("caddyfile").Adapt(text, map[string]any{"filename": path})
			if err != nil {
				t.Fatal(err)
			}
			for _, w := range warnings {
				t.Errorf("warning: %s", w)
			}
			for _, line := range provision(t, config) {
				t.Errorf("loading it warns: %s", line)
			}
		})
	}
	leftNothing(t)
}

// enterServer changes into a directory, and an environment, with all that the
// examples need. Tests that call it cannot be parallel.
func enterServer(t *testing.T) {
	t.Helper()
	t.Chdir(t.TempDir())
	t.Setenv("XDG_DATA_HOME", t.TempDir())
	t.Setenv("IG_VERIFY_TOKEN", "token")
	t.Setenv("IG_APP_SECRET", "0123456789abcdef0123456789abcdef")
	t.Setenv("META_APP_SECRET", "fedcba9876543210fedcba9876543210")
	if err := os.WriteFile("meta-outbound-api-ca-2025-12.pem", testpki.PEM(testpki.NewCA(t, "Example CA")), 0o600); err != nil {
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
