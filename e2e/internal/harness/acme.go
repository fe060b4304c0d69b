package harness

import (
	"crypto/x509"
	"fmt"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"sync"
	"sync/atomic"
	"testing"
)

// authority is a local ACME server: Caddy's own, in another instance. All tests
// share one; each Caddy has its own name.
//
// In its http-01 challenge the authority asks http://<name>/, on port 80 of a
// machine that does not exist. It does so through an HTTP proxy, and the proxy
// is ours: it stands in for DNS and for port 80, and knows the address of each
// name. So the tests need neither privileges nor fixed ports.
type authority struct {
	*Process
	directory string // the URL that ACME begins with
	root      string // the file with the root certificate
	roots     *x509.CertPool

	proxy     *httptest.Server
	addresses sync.Map // name → address of the HTTP port
	names     atomic.Int64
	dir       string
}

var (
	theAuthority *authority
	startOnce    = sync.OnceValue(func() (err error) {
		theAuthority, err = startAuthority()
		return err
	})
)

func stopAuthority() {
	if theAuthority == nil {
		return
	}
	theAuthority.Stop()
	theAuthority.proxy.Close()
	_ = os.RemoveAll(theAuthority.dir)
}

func startAuthority() (*authority, error) {
	dir, err := os.MkdirTemp("", "instagram-acme")
	if err != nil {
		return nil, err
	}
	port, err := findPort()
	if err != nil {
		return nil, err
	}
	a := &authority{
		dir:       dir,
		directory: fmt.Sprintf("https://localhost:%d/acme/local/directory", port),
		root:      filepath.Join(dir, "storage", "pki", "authorities", "local", "root.crt"),
	}
	a.proxy = httptest.NewServer(&httputil.ReverseProxy{
		Rewrite: func(r *httputil.ProxyRequest) {
			addr, _ := a.addresses.Load(r.In.URL.Hostname())
			r.SetURL(&url.URL{Scheme: "http", Host: fmt.Sprint(addr)})
			r.Out.URL.Path = r.In.URL.Path
			r.Out.Host = r.In.Host
		},
	})

	config := filepath.Join(dir, "Caddyfile")
	err = os.WriteFile(config, fmt.Appendf(nil, `{
	admin off
	default_bind 127.0.0.1
	skip_install_trust
	auto_https disable_redirects
	storage file_system %q
}
https://localhost:%d {
	tls internal
	acme_server {
		challenges http-01
	}
}
`, filepath.Join(dir, "storage"), port), 0o600)
	if err != nil {
		return nil, err
	}
	cmd := exec.Command(caddyBinary, "run", "--config", config)
	cmd.Env = environment("HTTP_PROXY="+a.proxy.URL, "HOME="+dir,
		"XDG_DATA_HOME="+filepath.Join(dir, "data"), "XDG_CONFIG_HOME="+filepath.Join(dir, "config"))
	if a.Process, err = start("ACME server", cmd); err != nil {
		return nil, err
	}
	if _, err = a.match(0, `certificate obtained successfully`); err != nil {
		return nil, err
	}
	pem, err := os.ReadFile(a.root)
	if err != nil {
		return nil, err
	}
	a.roots = x509.NewCertPool()
	if !a.roots.AppendCertsFromPEM(pem) {
		return nil, fmt.Errorf("no certificate in %s", a.root)
	}
	// It shows its certificate an instant after it has told of it. A Caddy that asks before
	// would ask again a minute later.
	if !poll(func() bool { return canShake(address(port), "localhost", a.roots) }) {
		return nil, fmt.Errorf("no handshake with the ACME server in %s", Timeout)
	}
	return a, nil
}

// Secured is a Caddy whose site has a name, and a certificate got by ACME.
type Secured struct {
	*Caddy
	HTTPAddr string // address of the port for plain HTTP
}

// NewSecured prepares a Caddy that can get a certificate. It is not started yet.
func NewSecured(t testing.TB, env ...string) *Secured {
	t.Helper()
	if err := startOnce(); err != nil {
		t.Fatal(err)
	}
	httpPort, httpsPort := FreePort(t), FreePort(t)
	s := &Secured{Caddy: NewCaddy(t, env...), HTTPAddr: address(httpPort)}
	s.Addr = address(httpsPort)
	s.Name = fmt.Sprintf("hooks-%d.example.com", theAuthority.names.Add(1))
	s.URL = "https://" + s.Name + "/webhooks"
	s.Roots = theAuthority.roots
	s.Options = fmt.Sprintf(`http_port %d
	https_port %d
	acme_ca %s
	acme_ca_root %q
	servers {
		protocols h1 h2
	}
`, httpPort, httpsPort, theAuthority.directory, theAuthority.root)
	s.AddName(s.Name)
	return s
}

// AddName has this Caddy get certificates for another name.
func (s *Secured) AddName(name string) { theAuthority.addresses.Store(name, s.HTTPAddr) }

// WaitCertificate returns when Caddy has got a certificate for name, and shows it.
func (s *Secured) WaitCertificate(t testing.TB, name string) {
	t.Helper()
	s.WaitOutput(t, `certificate obtained successfully.*"`+regexp.QuoteMeta(name)+`"`)
	s.WaitHandshake(t, name)
}

// Serve starts Caddy with one site, of this content, and returns when the site
// has its certificate.
func (s *Secured) Serve(t testing.TB, format string, args ...any) {
	t.Helper()
	s.Start(t, s.Site(format, args...))
	s.WaitCertificate(t, s.Name)
}
