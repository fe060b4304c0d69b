package e2e

import (
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// gateway is a Caddy with the plugin, in a process of its own, with its own
// admin endpoint, storage and configuration directory.
type gateway struct {
	*process
	admin string // host:port of the admin endpoint
	dir   string // holds all files that the gateway writes
	in    string // holds the files that it reads
	env   []string
}

// newGateway prepares a gateway that is not started yet, for tests that must
// know its directories before they can write its configuration.
func newGateway(t *testing.T, env ...string) *gateway {
	t.Helper()
	g := &gateway{
		admin: fmt.Sprintf("127.0.0.1:%d", freePort(t)),
		dir:   t.TempDir(),
		in:    t.TempDir(),
	}
	g.env = environment(append([]string{
		"HOME=" + g.dir,
		"XDG_DATA_HOME=" + filepath.Join(g.dir, "data"),
		"XDG_CONFIG_HOME=" + filepath.Join(g.dir, "config"),
	}, env...)...)
	return g
}

// startGateway starts a gateway with global options and sites in Caddyfile
// syntax, and returns when it serves them.
func startGateway(t *testing.T, options, sites string, env ...string) *gateway {
	t.Helper()
	g := newGateway(t, env...)
	g.start(t, options, sites)
	return g
}

func (g *gateway) start(t *testing.T, options, sites string) {
	t.Helper()
	cmd := exec.Command(caddyBinary, "run", "--config", g.write(t, "Caddyfile", g.caddyfile(options, sites)))
	cmd.Env = g.env
	cmd.Dir = g.dir
	g.process = runProcess(t, "gateway", cmd)
	g.mustAwait(t, "serving initial configuration")
}

// caddyfile puts the options that every gateway has before those of the test.
func (g *gateway) caddyfile(options, sites string) string {
	return fmt.Sprintf(`{
	admin %s
	default_bind 127.0.0.1
	skip_install_trust
	%s
}
%s
`, g.admin, options, sites)
}

// write puts a file where the gateway reads, and returns its path.
func (g *gateway) write(t *testing.T, name, content string) string {
	t.Helper()
	path := filepath.Join(g.in, name)
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// out returns the path of a file that the gateway is to write.
func (g *gateway) out(name string) string { return filepath.Join(g.dir, name) }

// reload runs `caddy reload` with another configuration, and returns what the
// command wrote.
func (g *gateway) reload(t *testing.T, path string) string {
	t.Helper()
	cmd := exec.Command(caddyBinary, "reload", "--force", "--config", path, "--adapter", "caddyfile", "--address", g.admin)
	cmd.Env = g.env
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("caddy reload: %v\n%s", err, out)
	}
	return string(out)
}

// adminGet returns what the admin endpoint answers. A reload puts another server
// in its place, which may break a request off.
func (g *gateway) adminGet(t *testing.T, path string) (body string) {
	t.Helper()
	var err error
	for range 5 {
		if body, err = g.tryAdminGet(path); err == nil {
			return body
		}
	}
	t.Fatal(err)
	return ""
}

func (g *gateway) tryAdminGet(path string) (string, error) {
	client := &http.Client{Timeout: patience, Transport: &http.Transport{DisableKeepAlives: true}}
	resp, err := client.Get("http://" + g.admin + path)
	if err != nil {
		return "", err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err == nil && resp.StatusCode != http.StatusOK {
		err = fmt.Errorf("admin %s: %s\n%s", path, resp.Status, body)
	}
	return string(body), err
}

// written returns everything that the gateway wrote, by where: its output and
// all files, its own copy of the configuration among them.
func (g *gateway) written(t *testing.T) map[string]string {
	t.Helper()
	written := map[string]string{"stdout and stderr": g.output.String()}
	err := filepath.WalkDir(g.dir, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		content, err := os.ReadFile(path)
		written[strings.TrimPrefix(path, g.dir)] = string(content)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return written
}

// lines returns the lines of a file that the gateway writes.
func (g *gateway) lines(t *testing.T, name string) []string {
	t.Helper()
	content, err := os.ReadFile(g.out(name))
	if err != nil {
		t.Fatal(err)
	}
	if len(content) == 0 {
		return nil
	}
	if !strings.HasSuffix(string(content), "\n") {
		t.Errorf("%s does not end with a newline: %q", name, tail(string(content), 1))
	}
	return strings.Split(strings.TrimSuffix(string(content), "\n"), "\n")
}
