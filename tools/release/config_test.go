package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestConfig reads .goreleaser.yaml.
func TestConfig(t *testing.T) {
	t.Chdir("../..")
	c, err := readConfig(".goreleaser.yaml", "1.2.3-next", "arm64")
	if err != nil {
		t.Fatal(err)
	}
	if flags := strings.Join(c.Builds[0].Ldflags, " "); !strings.Contains(flags, "caddy-instagram 1.2.3-next, Caddy") {
		t.Errorf("the program would not tell its version: %s", flags)
	}
	if deb, err := c.NFPMs[0].nfpm.Get("deb"); err != nil || len(deb.Depends) != 1 || deb.MTime.IsZero() || deb.Arch != "arm64" || deb.Prerelease != "next" {
		t.Errorf("%+v, %v", deb, err)
	}
	for _, content := range c.NFPMs[0].nfpm.Contents {
		if found, err := filepath.Glob(content.Source); err != nil || len(found) == 0 {
			t.Errorf("there is no %s: %v", content.Source, err)
		}
	}
}

// TestConfigThatIsNotUnderstood has words and templates that this command does not know,
// and goreleaser may.
func TestConfigThatIsNotUnderstood(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"builds: [{main: .}]\nnfpms: [{formats: [deb], bindir: /opt}]\n":                "bindir",
		"builds: [{main: '{{ .Branch }}'}]\nnfpms: [{formats: [deb]}]\n":                "Branch",
		"builds: [{main: .}, {main: ./other}]\nnfpms: [{formats: [deb], section: x}]\n": "2 builds",
	} {
		path := filepath.Join(t.TempDir(), "config.yaml")
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := readConfig(path, "1.2.3", "arm64"); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v, want %s", text, err, want)
		}
	}
}
