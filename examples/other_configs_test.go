package examples_test

import (
	"path/filepath"
	"testing"
)

// TestOtherConfigs loads the configs that are not a Caddyfile of their own: that of a
// balancer has no instagram_webhook, that of a watched gateway has two ports.
func TestOtherConfigs(t *testing.T) {
	paths, err := filepath.Glob("*/*.Caddyfile")
	if err != nil || len(paths) < 2 {
		t.Fatalf("found only %v: %v", paths, err)
	}
	texts := read(t, paths)
	enterServer(t)
	for path, text := range texts {
		for _, line := range provision(t, adapt(t, path, text)) {
			t.Errorf("%s: loading it warns: %s", path, line)
		}
	}
}
