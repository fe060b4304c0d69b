package examples_test

import (
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"go.yaml.in/yaml/v3"
)

const severalGateways = "several-gateways"

// composition is what the tests need to know of a compose file. What else is wrong in
// it, tools/release finds.
type composition struct {
	Services map[string]struct {
		Image, Hostname, Build string
		Environment            map[string]string
		Volumes                []string
		Entrypoint             []string
		ReadOnly               bool `yaml:"read_only"`
	}
	Volumes map[string]any
}

func readFile(t *testing.T, elements ...string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(elements...))
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// TestComposeFiles looks for what the compose files refer to, and for images that are
// not pinned.
func TestComposeFiles(t *testing.T) {
	t.Parallel()
	files, err := filepath.Glob("*/compose.yaml")
	if err != nil || len(files) < 3 {
		t.Fatalf("found only %v: %v", files, err)
	}
	for _, file := range files {
		t.Run(filepath.Dir(file), func(t *testing.T) {
			t.Parallel()
			checkComposition(t, filepath.Dir(file))
		})
	}
}

func checkComposition(t *testing.T, dir string) {
	text := readFile(t, dir, "compose.yaml")
	var c composition
	if err := yaml.Unmarshal([]byte(text), &c); err != nil {
		t.Fatal(err)
	}
	built := make(map[string]string) // the services that build an image, by its name
	pinned := regexp.MustCompile(`:v?\d+\.\d+`)
	for name, service := range c.Services {
		if service.Build == "" && !pinned.MatchString(service.Image) {
			t.Errorf("the image of %s is %q", name, service.Image)
		}
		if service.Build != "" {
			readFile(t, dir, service.Build, "Dockerfile")
			if other := built[service.Image]; service.Image != "" && other != "" {
				t.Errorf("%s and %s build the image %s: Docker makes it for one, and fails for the other", name, other, service.Image)
			}
			built[service.Image] = name
		}
		if strings.HasPrefix(name, "gateway") && (service.Build == "" || !service.ReadOnly) {
			t.Errorf("%s is %+v", name, service)
		}
		for _, volume := range service.Volumes {
			from, _, _ := strings.Cut(volume, ":")
			if _, named := c.Volumes[from]; named {
				continue
			}
			if _, err := os.Stat(filepath.Join(dir, from)); err != nil {
				t.Error(err)
			}
		}
		for _, variable := range regexp.MustCompile(`\{(?:env\.|\$)(\w+)`).FindAllStringSubmatch(configOf(t, dir, service.Volumes), -1) {
			if service.Environment[variable[1]] == "" {
				t.Errorf("%s lacks %s", name, variable[1])
			}
		}
	}
	example := readFile(t, dir, "example.env")
	for _, variable := range regexp.MustCompile(`\$\{(\w+)`).FindAllStringSubmatch(text, -1) {
		if !regexp.MustCompile(`(?m)^` + variable[1] + `=.`).MatchString(example) {
			t.Errorf("example.env lacks %s", variable[1])
		}
	}
}

// configOf returns the Caddyfile of a service, if it has one.
func configOf(t *testing.T, dir string, volumes []string) string {
	t.Helper()
	for _, volume := range volumes {
		if from, to, _ := strings.Cut(volume, ":"); strings.HasPrefix(to, "/etc/caddy/Caddyfile") {
			return readFile(t, dir, from)
		}
	}
	return ""
}

// TestImagesArePinned looks at what images are built from.
func TestImagesArePinned(t *testing.T) {
	t.Parallel()
	for _, from := range regexp.MustCompile(`(?m)^FROM (?:--\S+ )?(\S+)`).FindAllStringSubmatch(readFile(t, "..", "Dockerfile"), -1) {
		if from[1] != "scratch" && !regexp.MustCompile(`:\d+\.\d+\.\d+-`).MatchString(from[1]) {
			t.Errorf("the image %s is not pinned", from[1])
		}
	}
}

// TestDatabasesOfSeveralGateways checks that each server finds the other.
func TestDatabasesOfSeveralGateways(t *testing.T) {
	t.Parallel()
	var c composition
	if err := yaml.Unmarshal([]byte(readFile(t, severalGateways, "compose.yaml")), &c); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"db1", "db2"} {
		if s := c.Services[name]; s.Environment["NAME"] != name || s.Environment["PGDATA"] == "" || s.Hostname != name || !slices.Contains(s.Entrypoint, "/database.sh") {
			t.Errorf("%s is %+v", name, s)
		}
	}
}

// TestBalancerLeavesOutRefusingGateway has one of two gateways answer 503, as one does that
// alone cannot reach the database: it gets a delivery now and then, to see whether it is well.
func TestBalancerLeavesOutRefusingGateway(t *testing.T) {
	text := readFile(t, "several-gateways", "balancer.Caddyfile")
	for name, answer := range map[string]int{"gateway1:8080": http.StatusOK, "gateway2:8080": http.StatusServiceUnavailable} {
		gateway := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.URL.Path != "/health" {
				w.WriteHeader(answer)
			}
		}))
		t.Cleanup(gateway.Close)
		text = strings.Replace(text, name, gateway.Listener.Addr().String(), 1)
	}
	enterServer(t)
	address, host := serve(t, adapt(t, "balancer", text))
	began, answers := time.Now(), make(map[int]int)
	for range 100 {
		answers[status(t, http.MethodPost, address, host, "/webhooks")]++
	}
	atMost := 1 + int(time.Since(began)/(5*time.Second)) // its fail_duration
	if answers[http.StatusOK] == 0 || answers[http.StatusServiceUnavailable] == 0 || answers[http.StatusServiceUnavailable] > atMost {
		t.Errorf("the answers are %v, want some of 200, and 1 to %d of 503", answers, atMost)
	}
}
