package harness

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/caddy-instagram/webhooks/internal/simulate"
)

const (
	// Secret and Token are those of [Webhook].
	Secret = "b7e0c1a94d5f4f0e8a6c2d3b1f9e7a55"
	Token  = "a token of the tests"

	// Webhook is the directive of all tests that need no other.
	Webhook = `instagram_webhook {
		verify_token "` + Token + `"
		app_secret instagram ` + Secret + `
	}`
)

// Caddy is a Caddy with the plugin, in a process of its own, with its own admin
// endpoint, storage and directories, and an address for one site. All of these
// stay the same when it is started again.
type Caddy struct {
	*Process // nil before the start

	Admin   string         // address of the admin endpoint
	Addr    string         // address of the site
	Name    string         // of the site in the Caddyfile
	URL     string         // of the webhook in the site
	Options string         // global options, besides those that every Caddy has
	Roots   *x509.CertPool // that the certificate of the site comes from; nil: plain HTTP
	Queue   string         // file of the queue, see ServeQueue
	Dir     string         // holds all files that Caddy writes
	In      string         // holds the files that it reads

	env []string
}

// NewCaddy prepares a Caddy that serves plain HTTP, with additional variables in
// its environment. It is not started yet.
func NewCaddy(t testing.TB, env ...string) *Caddy {
	t.Helper()
	c := &Caddy{
		Admin:   FreeAddr(t),
		Addr:    FreeAddr(t),
		Options: "metrics\nauto_https off",
		Dir:     t.TempDir(),
		In:      t.TempDir(),
	}
	c.Name = c.Base("")
	c.URL = "http://" + c.Addr + "/webhooks"
	c.Queue = c.Out("queue.db")
	c.env = environment(append([]string{
		"HOME=" + c.Dir,
		"XDG_DATA_HOME=" + filepath.Join(c.Dir, "data"),
		"XDG_CONFIG_HOME=" + filepath.Join(c.Dir, "config"),
	}, env...)...)
	return c
}

// Serve starts Caddy with one site, of this content, and returns when it serves.
func (c *Caddy) Serve(t testing.TB, format string, args ...any) {
	t.Helper()
	c.Start(t, c.Site(format, args...))
}

// Start starts Caddy with these sites, and returns when it serves them.
func (c *Caddy) Start(t testing.TB, sites string) {
	t.Helper()
	c.Process = startFor(t, "caddy", c.Command("run", "--config", c.Config(t, sites)))
	c.WaitOutput(t, "serving initial configuration")
}

// WaitHandshake returns when Caddy has a certificate for a name that Roots trust. Caddy gets
// it after it has said that it serves, and answers with the alert "internal error" before.
func (c *Caddy) WaitHandshake(t testing.TB, name string) {
	t.Helper()
	Wait(t, "handshake with "+name, func() bool { return canShake(c.Addr, name, c.Roots) })
}

func canShake(addr, name string, roots *x509.CertPool) bool {
	conn, err := tls.Dial("tcp", addr, simulate.TLSConfig(name, roots, nil))
	if err == nil {
		_ = conn.Close()
	}
	return err == nil
}

// StartFails starts Caddy with these sites, which must fail with an error that a
// regular expression matches.
func (c *Caddy) StartFails(t testing.TB, sites, pattern string) {
	t.Helper()
	p := startFor(t, "caddy", c.Command("run", "--config", c.Config(t, sites)))
	p.WaitOutput(t, pattern)
	if p.Succeeded() {
		t.Error("it ended as if all were well")
	}
}

// Reload loads these sites instead of those before. Then only these are served: connections
// that were kept since before may be closed at any moment.
func (c *Caddy) Reload(t testing.TB, sites string) {
	t.Helper()
	if out, err := c.TryReload(t, sites); err != nil {
		t.Fatalf("caddy reload: %v\n%s", err, out)
	}
}

// TryReload is Reload, and returns what the command wrote.
func (c *Caddy) TryReload(t testing.TB, sites string) (string, error) {
	t.Helper()
	written := len(c.Output())
	out, err := c.Run("reload", "--force", "--config", c.Config(t, sites), "--adapter", "caddyfile", "--address", c.Admin)
	if err == nil {
		c.WaitOutputFrom(t, written, "load complete") // what was written before is read
	}
	WaitOneListener(t, c.Admin, c.Addr)
	return out, err
}

// Load is Reload without a process for it, for tests that do it often.
func (c *Caddy) Load(t testing.TB, sites string) {
	t.Helper()
	text, err := os.ReadFile(c.Config(t, sites))
	if err != nil {
		t.Fatal(err)
	}
	client := &http.Client{Timeout: Timeout, Transport: &http.Transport{DisableKeepAlives: true}}
	resp, err := client.Post("http://"+c.Admin+"/load", "text/caddyfile", bytes.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if said, err := io.ReadAll(resp.Body); err != nil || resp.StatusCode != http.StatusOK {
		t.Fatalf("loading a config: %s: %s %v", resp.Status, said, err)
	}
	WaitOneListener(t, c.Admin, c.Addr)
}

// Run runs a command of Caddy, and returns all that it wrote.
func (c *Caddy) Run(args ...string) (string, error) {
	out, err := c.Command(args...).CombinedOutput()
	return string(out), err
}

// StartCommand starts a command of Caddy that goes on until it is stopped.
func (c *Caddy) StartCommand(t testing.TB, args ...string) *Process {
	t.Helper()
	return startFor(t, "caddy "+args[0], c.Command(args...))
}

// Command is a command of Caddy in the environment of this one.
func (c *Caddy) Command(args ...string) *exec.Cmd {
	cmd := exec.Command(caddyBinary, args...)
	cmd.Env = c.env
	cmd.Dir = c.Dir
	return cmd
}

// Site is a site at the address of this Caddy, with this content.
func (c *Caddy) Site(format string, args ...any) string {
	content := format
	if len(args) > 0 {
		content = fmt.Sprintf(format, args...)
	}
	return c.Name + " {\n" + content + "\n}\n"
}

// Base is the address of a site of another name at the same port: it begins the
// site in the Caddyfile, and the URLs of its requests.
func (c *Caddy) Base(host string) string {
	return "http://" + host + c.Addr[strings.LastIndex(c.Addr, ":"):]
}

// Config writes the Caddyfile with these sites, and returns its path.
func (c *Caddy) Config(t testing.TB, sites string) string {
	t.Helper()
	return c.Write(t, "Caddyfile", fmt.Sprintf(`{
	admin %s
	default_bind 127.0.0.1
	skip_install_trust
	%s
}
%s
`, c.Admin, c.Options, sites))
}

// Write writes a file where Caddy reads, and returns its path.
func (c *Caddy) Write(t testing.TB, name, content string) string {
	t.Helper()
	path := filepath.Join(c.In, name)
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// Out returns the path of a file that Caddy is to write.
func (c *Caddy) Out(name string) string { return filepath.Join(c.Dir, name) }

// Lines returns the lines of a file that Caddy writes.
func (c *Caddy) Lines(t testing.TB, name string) []string {
	t.Helper()
	content, err := os.ReadFile(c.Out(name))
	if err != nil {
		t.Fatal(err)
	}
	if len(content) == 0 {
		return nil
	}
	text, whole := strings.CutSuffix(string(content), "\n")
	if !whole {
		t.Errorf("%s does not end with a newline: %q", name, Tail(text, 1))
	}
	return strings.Split(text, "\n")
}

// Written returns everything that Caddy wrote, by where: its output and all
// files, its own copy of the configuration among them. A Caddy that runs may remove
// some meanwhile, such as locks.
func (c *Caddy) Written(t testing.TB) map[string]string {
	t.Helper()
	written := map[string]string{"stdout and stderr": c.Output()}
	err := filepath.WalkDir(c.Dir, func(path string, entry fs.DirEntry, err error) error {
		var content []byte
		if err == nil && !entry.IsDir() {
			content, err = os.ReadFile(path)
			written[strings.TrimPrefix(path, c.Dir)] = string(content)
		}
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return written
}

// AdminGet returns what the admin endpoint answers. A reload puts another server
// in its place, which may break a request off.
func (c *Caddy) AdminGet(t testing.TB, path string) (body string) {
	t.Helper()
	var err error
	for range 5 {
		if body, err = c.tryAdminGet(path); err == nil {
			return body
		}
	}
	t.Fatal(err)
	return ""
}

func (c *Caddy) tryAdminGet(path string) (string, error) {
	client := &http.Client{Timeout: Timeout, Transport: &http.Transport{DisableKeepAlives: true}}
	resp, err := client.Get("http://" + c.Admin + path)
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
