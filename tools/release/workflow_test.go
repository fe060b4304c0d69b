package main

import (
	"cmp"
	"go/version"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"
)

// TestGoOfGoreleaser checks that the workflow installs a Go that is new enough for
// goreleaser: actions/setup-go has it download no newer one.
func TestGoOfGoreleaser(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile("../../.github/workflows/release.yml")
	if err != nil {
		t.Fatal(err)
	}
	var workflow struct {
		Env struct {
			Goreleaser string `yaml:"GORELEASER"`
		}
		Jobs map[string]struct {
			Steps []struct {
				With struct {
					GoVersionFile string `yaml:"go-version-file"`
				}
			}
		}
	}
	if err := yaml.Unmarshal(text, &workflow); err != nil {
		t.Fatal(err)
	}
	var file string
	for _, step := range workflow.Jobs["packages"].Steps {
		file = cmp.Or(file, step.With.GoVersionFile)
	}
	if filepath.Base(file) != "go.mod" {
		t.Fatalf("the job packages has the Go of the file %q", file)
	}
	has := goLine(t, "-C", filepath.Join("../..", filepath.Dir(file)), "list", "-m", "-f", "{{.GoVersion}}")
	needs := goLine(t, "list", "-m", "-f", "{{.GoVersion}}", workflow.Env.Goreleaser)
	if version.Compare("go"+needs, "go"+has) > 0 {
		t.Errorf("%s needs Go %s, and the job has the %s of %s", workflow.Env.Goreleaser, needs, has, file)
	}
}

// goLine returns the version that a `go list` prints.
func goLine(t *testing.T, args ...string) string {
	t.Helper()
	cmd := exec.Command("go", args...)
	cmd.Stderr = os.Stderr
	out, err := cmd.Output()
	if line := strings.TrimSpace(string(out)); err == nil && version.IsValid("go"+line) {
		return line
	}
	t.Fatalf("go %s: %q, %v", strings.Join(args, " "), out, err)
	return ""
}
