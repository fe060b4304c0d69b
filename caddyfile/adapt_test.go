package caddyfile_test

import (
	"bytes"
	"encoding/json"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/caddyserver/caddy/v2/caddyconfig"
	_ "github.com/caddyserver/caddy/v2/modules/standard"

	_ "github.com/caddy-instagram/webhooks"
)

var update = flag.Bool("update", false, "write the golden files anew")

// separator stands between a Caddyfile and what comes out of it: JSON, or the
// text of the error.
const separator = "----------\n"

// TestAdapt adapts the Caddyfile in each golden file of testdata.
func TestAdapt(t *testing.T) {
	t.Parallel()
	paths, err := filepath.Glob("testdata/*.caddyfiletest")
	if err != nil || len(paths) == 0 {
		t.Fatalf("no golden files: %v", err)
	}
	for _, path := range paths {
		name := strings.TrimSuffix(filepath.Base(path), ".caddyfiletest")
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			golden, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			golden = bytes.ReplaceAll(golden, []byte("\r\n"), []byte("\n"))
			input, want, found := strings.Cut(string(golden), separator)
			if !found && !*update {
				t.Fatalf("no line %q", separator)
			}
			got := adapt(t, input, strings.HasPrefix(name, "error_"))
			if *update {
				if err := os.WriteFile(path, []byte(input+separator+got), 0o644); err != nil {
					t.Fatal(err)
				}
				return
			}
			if got != want {
				t.Errorf("got:\n%s\nwant:\n%s", got, want)
			}
		})
	}
}

func adapt(t *testing.T, input string, wantError bool) string {
	t.Helper()
	config, warnings, err := caddyconfig.GetAdapter("caddyfile").Adapt([]byte(input), map[string]any{"filename": "Caddyfile"})
	if (err != nil) != wantError {
		t.Fatalf("got the error %v, want one: %t", err, wantError)
	}
	if err != nil {
		return err.Error() + "\n"
	}
	for _, w := range warnings {
		t.Errorf("warning: %s", w)
	}
	var indented bytes.Buffer
	if err := json.Indent(&indented, config, "", "\t"); err != nil {
		t.Fatal(err)
	}
	return indented.String() + "\n"
}
