package examples_test

import (
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"
)

const severalGateways = "several-gateways"

// composition is what the test needs to know of a compose file.
type composition struct {
	Services map[string]struct {
		Image, Hostname string
		Build           struct{ Context, Dockerfile string }
		Environment     map[string]string
		Volumes         []string
		Entrypoint      []string
	}
	Volumes map[string]any
}

// TestComposeFile looks for what the compose file refers to, and for images that are not
// pinned.
func TestComposeFile(t *testing.T) {
	t.Parallel()
	read := func(name string) string {
		t.Helper()
		text, err := os.ReadFile(filepath.Join(severalGateways, name))
		if err != nil {
			t.Fatal(err)
		}
		return string(text)
	}
	text := read("compose.yaml")
	var c composition
	if err := yaml.Unmarshal([]byte(text), &c); err != nil {
		t.Fatal(err)
	}
	pinned := regexp.MustCompile(`:\d+\.\d+`)
	for name, service := range c.Services {
		if service.Build.Context == "" && !pinned.MatchString(service.Image) {
			t.Errorf("the image of %s is %q", name, service.Image)
		}
		if service.Build.Context != "" {
			if _, err := os.Stat(filepath.Join(severalGateways, service.Build.Context, service.Build.Dockerfile)); err != nil {
				t.Error(err)
			}
		}
		for _, volume := range service.Volumes {
			from, _, _ := strings.Cut(volume, ":")
			if _, named := c.Volumes[from]; !named {
				read(from)
			}
		}
	}
	for _, from := range regexp.MustCompile(`(?m)^FROM (\S+)`).FindAllStringSubmatch(read("Dockerfile"), -1) {
		if !pinned.MatchString(from[1]) {
			t.Errorf("the image %s is not pinned", from[1])
		}
	}
	example := read("example.env")
	for _, variable := range regexp.MustCompile(`\$\{(\w+)`).FindAllStringSubmatch(text, -1) {
		if !regexp.MustCompile(`(?m)^` + variable[1] + `=.`).MatchString(example) {
			t.Errorf("example.env lacks %s", variable[1])
		}
	}
	// The gateways must find their variables, and each server the other.
	for _, name := range []string{"gateway1", "gateway2"} {
		for _, variable := range regexp.MustCompile(`\{env\.(\w+)\}`).FindAllStringSubmatch(read("Caddyfile"), -1) {
			if c.Services[name].Environment[variable[1]] == "" {
				t.Errorf("%s lacks %s", name, variable[1])
			}
		}
	}
	for _, name := range []string{"db1", "db2"} {
		if s := c.Services[name]; s.Environment["NAME"] != name || s.Environment["PGDATA"] == "" || s.Hostname != name || !slices.Contains(s.Entrypoint, "/database.sh") {
			t.Errorf("%s is %+v", name, s)
		}
	}
}

// TestBalancer loads the config of the balancer.
func TestBalancer(t *testing.T) {
	text, err := os.ReadFile(filepath.Join(severalGateways, "balancer.Caddyfile"))
	if err != nil {
		t.Fatal(err)
	}
	enterServer(t)
	provision(t, adapt(t, "balancer.Caddyfile", string(text)))
}
