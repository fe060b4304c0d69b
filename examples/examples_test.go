// Package examples_test loads every example as Caddy would.
package examples_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig"
	_ "github.com/caddyserver/caddy/v2/modules/standard"

	_ "github.com/caddy-instagram/webhooks"
)

// TestExamplesProvision adapts and provisions each example.
func TestExamplesProvision(t *testing.T) {
	paths, err := filepath.Glob("*/Caddyfile")
	if err != nil || len(paths) < 6 {
		t.Fatalf("found only %v: %v", paths, err)
	}
	texts := make(map[string][]byte)
	for _, path := range paths {
		if texts[path], err = os.ReadFile(path); err != nil {
			t.Fatal(err)
		}
	}
	enterServer(t)
	for path, text := range texts {
		t.Run(filepath.Dir(path), func(t *testing.T) {
			config, warnings, err := caddyconfig.GetAdapter("caddyfile").Adapt(text, map[string]any{"filename": path})
			if err != nil {
				t.Fatal(err)
			}
			for _, w := range warnings {
				t.Errorf("warning: %s", w)
			}
			provision(t, config)
		})
	}
	left, err := filepath.Glob("*.jsonl")
	if err != nil || len(left) != 0 {
		t.Errorf("provisioning left files: %v, %v", left, err)
	}
}

// enterServer changes into a directory, and an environment, with all that the
// examples need. Tests that call it cannot be parallel.
func enterServer(t *testing.T) {
	t.Helper()
	t.Chdir(t.TempDir())
	t.Setenv("XDG_DATA_HOME", t.TempDir())
	t.Setenv("IG_VERIFY_TOKEN", "token")
	t.Setenv("IG_APP_SECRET", "instagram secret")
	t.Setenv("META_APP_SECRET", "meta secret")
	writeCA(t, "meta-outbound-api-ca-2025-12.pem")
}

// provision does what `caddy validate` does with a config.
func provision(t *testing.T, config []byte) {
	t.Helper()
	var cfg caddy.Config
	if err := caddy.StrictUnmarshalJSON(config, &cfg); err != nil {
		t.Errorf("%v\n%s", err, config)
	} else if err := caddy.Validate(&cfg); err != nil {
		t.Errorf("%v\n%s", err, config)
	}
}

func writeCA(t *testing.T, path string) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "Example CA"},
		NotBefore: time.Now(), NotAfter: time.Now().Add(365 * 24 * time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), 0o600); err != nil {
		t.Fatal(err)
	}
}
